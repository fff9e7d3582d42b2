"""The report on a study: its question and its answer, the finalists over fresh seeds, and the search before them."""

from collections.abc import Iterator

from hrmsearch.report.differences import verdicts
from hrmsearch.report.document import Document, Section, anchor
from hrmsearch.report.experiment import READING, anchors, headlines, results_section, spec_section
from hrmsearch.report.search import search_items
from hrmsearch.report.study_file import StudyFolder


def study_document(study: StudyFolder, *, figures: bool = True) -> Document:
    """Return the report on a study, as far as it went."""
    search = Section("The search", f"search-{anchor(study.name)}", list(search_items(study, figures=figures)))
    title, lead, compared = f"study {study.name}", list(_lead(study)), study.finalists
    if compared is None:
        return Document(title, lead, [search])
    places = anchors([compared])
    specs = [spec_section(compared, spec, places[compared.corpus, spec.label]) for spec in compared.specs]
    found = [results_section(compared, study.control, figures=figures), search, *specs]
    return Document(title, lead, found, {name: at for (_, name), at in places.items()})


def _lead(study: StudyFolder) -> Iterator[str]:
    yield from [study.question] if study.question else []
    arms = f"{len(study.arms)} arms, {', '.join(study.arms)},"
    searched = f"{arms} were searched by {len(study.trials)} trials in all; valid {study.leading} chose the finalist"
    trained = f"{searched} of each, which was" if study.is_searched else f"{arms} were trained as written, and"
    yield f"{trained} trained again on fresh seeds. The control is {study.control}."
    yield from verdicts(study.finalists, study.control) if study.finalists else ()
    yield from headlines(study.finalists) if study.finalists else ()
    yield from [f"There is no comparison: {study.why}."] if study.why else []
    yield from (f"{one}." for one in study.others)
    yield READING
    yield f"The search stands in {study.file}, SHA-256 {study.sha256}."
