"""What people read: tables for terminals and Markdown files, made from plain results."""
