"""The pages of the site that are made when it is built: mkdocs calls the functions here by name.

The start is README, how to extend CONTRIBUTING, and the changelog is the project's; every key has a
row that is read off its yaml; llms.txt lists the pages, each of which lies beside its source.
"""

import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

HERE = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(HERE), str(HERE / "scripts")]
from architecture import DRAWN, rooms  # noqa: E402
from key_tables import pages  # noqa: E402

MOVED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
FILES = ("CITATION.cff", *sorted(str(file.relative_to(HERE)) for file in HERE.glob("examples/*")))
LINKS = {
    "](docs/": "](",
    "](../CONTRIBUTING.md": "](contributing.md",
    "](CONTRIBUTING.md": "](contributing.md",
    "](examples)": "](tutorials/notebook.md)",
}
SOURCES: dict[str, str] = {}  # the markdown of each page by its place
KEYS = "Keys"
EVERY_KEY = "<!-- every key -->"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of keys below the page that is about them."""
    made = [{Path(place).stem: f"reference/{place}"} for place in pages()]
    for item in config.nav or []:
        for below in item.values():
            if isinstance(below, list) and {KEYS: "keys.md"} in below:
                below[below.index({KEYS: "keys.md"})] = {KEYS: ["keys.md", *made]}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies elsewhere in the repository, and what is made of the yamls."""
    for source, place in MOVED.items():
        text = (HERE / source).read_text(encoding="utf-8")
        files.append(File.generated(config, place, content=text))
    for source in FILES:
        files.append(File.generated(config, source, abs_src_path=str(HERE / source)))
    for place, text in pages().items():
        files.append(File.generated(config, f"reference/{place}", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Mend links, list the pages of keys, and say the floors of the house in a table: a picture in
    Mermaid would be drawn by a script from elsewhere."""
    for before, after in LINKS.items():
        markdown = markdown.replace(before, after)
    markdown = markdown.replace(EVERY_KEY, key_links())
    markdown = DRAWN.sub(lambda _: floors(), markdown)
    SOURCES[page.file.src_uri] = markdown
    return markdown


def key_links() -> str:
    """The pages of keys, a line each."""
    names = [Path(place).stem for place in pages()]
    return "\n".join(f"- [{name}](reference/keys/{name}.md)" for name in names)


def floors() -> str:
    """Each room and those right below it."""
    graph = rooms()
    rows = [f"| `{room}` | {', '.join(sorted(graph[room]))} |" for room in sorted(graph)]
    return "\n".join(["| room | imports from |", "|---|---|", *rows, ""])


def on_post_build(config: MkDocsConfig) -> None:
    """Write llms.txt, as llmstxt.org has it, and the source of each page beside it."""
    for place, text in SOURCES.items():
        target = Path(config.site_dir, place)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    lines = [f"# {config.site_name}", "", f"> {config.site_description}"]
    for item in config.nav or []:
        for title, below in item.items():
            lines += ["", f"## {title}", "", *_listed(title, below)]
    Path(config.site_dir, "llms.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")


def first_sentence(markdown: str) -> str:
    """What the first paragraph of a page begins with; empty where there is none."""
    for paragraph in markdown.split("\n\n"):
        if re.match(r"[A-Z`0-9]", paragraph):
            return re.split(r"(?<=[.?:]) ", " ".join(paragraph.split()), maxsplit=1)[0]
    return ""


def _listed(title: str, below: object) -> list[str]:
    """A line for each page of a section of the navigation, with its first sentence."""
    if isinstance(below, str):
        said = first_sentence(SOURCES.get(below, ""))
        return [f"- [{title}]({below}){said and ': '}{said}"]
    lines: list[str] = []
    for item in below if isinstance(below, list) else []:
        named = item if isinstance(item, dict) else {title: item}
        for name, place in named.items():
            lines += _listed(name, place)
    return lines
