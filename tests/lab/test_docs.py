"""docs/lab.md has every population and persona that there is. Run as a program, this writes them into the page."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

import msgspec

from leadapron.lab.archive.people import ID_STYLES, SCRIPTS
from leadapron.lab.personas import personas
from leadapron.lab.population import ArchiveSpec, Population, residents, shipped

PAGE = Path(__file__).parents[2] / "docs" / "lab.md"


def populations_table() -> str:
    rows = [f"| `{name}` | {summary} |" for name, summary in shipped().items()]
    return "\n".join(["| population | what it is |", "|---|---|", *rows])


def personas_tables() -> str:
    parts = []
    for family, members in groupby(personas().values(), key=lambda persona: persona.family):
        rows = [
            f"| `{p.name}` | {p.summary} | {' or '.join(p.verdicts)} | {'yes' if p.completable else '–'} |"
            for p in members
        ]
        head = ["| persona | what it does | verdict | completable |", "|---|---|---|---|"]
        parts.append("\n".join([f"### {family.capitalize()}", "", *head, *rows]))
    return "\n\n".join(parts)


def written(page: str) -> str:
    """The page with its generated parts as they should be."""
    for what, text in (("populations", populations_table()), ("personas", personas_tables())):
        pattern = re.compile(rf"(<!-- {what}: [^\n]*-->\n).*?(<!-- end -->)", re.DOTALL)
        page, count = pattern.subn(lambda found, text=text: f"{found[1]}{text}\n{found[2]}", page)
        assert count == 1
    return page


def test_populations_and_personas_are_all_there() -> None:
    page = PAGE.read_text()
    assert page == written(page), "run: python tests/lab/test_docs.py"


def test_every_field_of_an_archive_is_explained() -> None:
    page = PAGE.read_text()
    section = page[page.index("| field |") : page.index("`options` overrides")]
    named = set(re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in section.splitlines()[2:] if "|" in row)))
    assert named == set(ArchiveSpec.__struct_fields__)
    assert all(name in section for name in (*SCRIPTS, *(set(ID_STYLES) - {"plain"})))


def test_the_example_population_can_be_read() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(list(residents(msgspec.toml.decode(example, type=Population)))) == 1 + 2 + 200


async def test_the_example_of_a_test_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    body = "\n".join(f"    {line}" for line in example.splitlines())
    scope: dict[str, object] = {"print": lambda *values: None}
    exec(f"async def example():\n{body}", scope)
    await scope["example"]()  # type: ignore[operator]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
