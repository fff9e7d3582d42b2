"""Models as a user of a framework would write them by hand: what compiled ones are measured against."""
