"""A pipeline folder, or a snapshot of one, to a checked `Pipeline`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import msgspec

from headgate.batch.compiled import compile_pipeline
from headgate.batch.config_reader import Findings, Section
from headgate.batch.item_file import InputFile
from headgate.batch.items import read_items
from headgate.batch.lazy_items import LazyItems
from headgate.batch.pipeline import Pipeline, Step, system_key
from headgate.batch.pipeline_check import NameFlow, check_links
from headgate.batch.pipeline_config import ItemsSource, read_api, read_coercions, read_post_process, read_processing, read_rules, read_steps
from headgate.batch.pipeline_files import CONFIG, FolderFiles, PipelineFiles, find_folder, open_snapshot
from headgate.batch.schemas import MAX_SCHEMA, read_schema
from headgate.batch.template_check import MAX_TEMPLATE, TemplateFacts, TemplateSet
from headgate.batch.yaml_source import CONFIG_LIMITS, decode_text, load_yaml
from headgate.errors import ConfigError
from headgate.wire.json import JsonObject

_MARKS = re.compile(r"{[{%#]")
"""What makes a text a template."""
_MEANINGLESS = ("monitoring", "report", "reports", "version", "metadata")


def load_pipeline(path: str | Path, items: Path | None = None, only: tuple[str, ...] = ()) -> Pipeline:
    """Load and check the pipeline in a folder. Raises `ConfigError`; one error lists all faults with their places.

    `items` is a file in place of the pipeline's own, `only` the ids of the units to be run (none: all).
    """
    return build_pipeline(FolderFiles(Path(path), items, only))


def find_pipeline(
    name_or_path: str, roots: list[Path], items: Path | None = None, only: tuple[str, ...] = (), passed: list[str] | None = None
) -> Pipeline:
    """Load the pipeline a user names: a folder's path, or a name under one of `roots`. Raises `ConfigError` with a hint.

    `items` and `only` as in `load_pipeline`. Each of `STAGES` that it passes is added to `passed`.
    """
    return build_pipeline(FolderFiles(find_folder(name_or_path, roots), items, only), passed)


def load_snapshot(data: bytes, run: Path | None = None) -> Pipeline:
    """The pipeline that the run in the folder `run` pinned with `snapshot`. Raises `ConfigError`, and `RunError` for a changed copy."""
    return build_pipeline(open_snapshot(data, run))


STAGES = {
    "configuration": "its sections, keys and values",
    "links": "every step that asks a model has a template, a schema and rules",
    "files": "templates, schemas and items",
    "names": "expressions and rules, and every name is provided before it is used",
}
"""What is checked, one after another: what fails at one keeps the later ones from being looked at."""


def build_pipeline(files: PipelineFiles, passed: list[str] | None = None) -> Pipeline:
    """Read, check and freeze a pipeline. Raises `ConfigError`. Each of `STAGES` that it passes is added to `passed`."""
    done: list[str] = [] if passed is None else passed
    display = str(PurePosixPath(files.folder) / CONFIG)
    findings = Findings()
    root = Section.of(load_yaml(files.read(CONFIG, CONFIG_LIMITS.bytes, f"{display}:1:1"), display), findings)
    draft, source, linked = read_config(root, files, findings)
    findings.raise_any()
    done.append("configuration")
    links = check_links(draft.steps, linked)
    links.raise_any()
    done.append("links")
    with_files, facts = _with_files(draft, files, root, source, findings)
    findings.raise_any()
    done.append("files")
    _check_compiled(with_files, facts, findings)
    done.append("names")
    kept = {"files": dict(files.seen), "replaced": files.replaced, "only": files.only, "root": files.root}
    return msgspec.structs.replace(with_files, warnings=tuple(findings.warnings), **kept)


def read_config(root: Section, files: PipelineFiles, findings: Findings) -> tuple[Pipeline, ItemsSource, dict[str, Section]]:
    """The sections of a configuration: a pipeline without what other files hold, where its items are, and what links to its steps."""
    for required in ("pipeline", "processing"):
        if not root.has(required):
            root.error(f"section {required!r} is missing")
    root.ignore(*_MEANINGLESS)
    pipeline, schemas = root.section("pipeline"), root.section("schemas")
    steps = read_steps(pipeline)
    processing, source = read_processing(root.section("processing"))
    prompts, validation = root.section("prompts"), root.section("validation")
    templates, schema_files = prompts.section("templates"), schemas.section("files")
    prompts.ignore("template_dir", "templates", "global_context")
    schemas.ignore("schema_dir", "files", "strict_mode", "log_validation_errors")
    draft = Pipeline(
        name=_either(pipeline, root, "name") or files.name,
        folder=files.folder,
        description=_either(pipeline, root, "description") or "",
        steps=steps,
        api=read_api(root.section("api")),
        processing=processing,
        global_context=prompts.mapping("global_context"),
        templates={},
        template_of={},
        schemas={},
        rules={name: read_rules(validation.section(name)) for name in validation.value},
        coercions=read_coercions(schemas),
        items=(),
        post_process=tuple(read_post_process(entry) for entry in root.sections("post_process")),
        warnings=(),
        files={},
    )
    for section in (root, pipeline, prompts, schemas):
        section.close()
    return draft, source, {"prompts.templates": templates, "schemas.files": schema_files, "validation": validation}


def _either(pipeline: Section, root: Section, key: str) -> str | None:
    """What the pipeline says, else the top level; both are looked at."""
    inner, outer = pipeline.text(key), root.text(key)
    return inner or outer


def _with_files(
    draft: Pipeline, files: PipelineFiles, root: Section, source: ItemsSource, findings: Findings
) -> tuple[Pipeline, Mapping[str, TemplateFacts]]:
    prompts, schemas = root.section("prompts"), root.section("schemas")
    template_dir, schema_dir = prompts.text("template_dir") or "templates", schemas.text("schema_dir") or "schemas"
    templates = _template_set(files, template_dir)
    facts: dict[str, TemplateFacts] = {}
    template_of: dict[str, str] = {}
    schema_of: dict[str, JsonObject] = {}
    for step in draft.llm_steps:
        try:
            template_of[step.name] = _template_name(step, prompts.section("templates"), findings)
            facts[step.name] = templates.facts(template_of[step.name], prompts.where("templates", step.name))
            if _MARKS.search(step.params.system or ""):
                template_of[system_key(step)] = system_key(step)
                facts[system_key(step)] = templates.inline(system_key(step), step.params.system or "")
            schema_of[step.name] = _schema(step, schemas.section("files"), files, schema_dir)
        except ConfigError as error:
            findings.caught(error)
    whole = msgspec.structs.replace(draft, templates=templates.sources, template_of=template_of, schemas=schema_of)
    try:
        whole = _with_items(whole, files, source)
    except ConfigError as error:
        findings.caught(error)
    return whole, facts


def _with_items(draft: Pipeline, files: PipelineFiles, source: ItemsSource) -> Pipeline:
    file = files.items(files.replaced or source.source, source.where)
    if files.replaced is not None:
        source = source._replace(source=files.replaced, where=file.display, replaced=True)
    known = files.input
    items = read_items(file, source, draft.processing, None if known is None else known.facts)
    if file.path is not None and known is None:
        facts = items.facts if isinstance(items, LazyItems) else None
        known = InputFile(file.name, file.size, file.digest(), str(file.path.absolute()), facts)
    return msgspec.structs.replace(draft, items=items, input=known)


def _template_set(files: PipelineFiles, folder: str) -> TemplateSet:
    def display(name: str) -> str:
        if name.startswith("@system/"):
            return f"{PurePosixPath(files.folder) / CONFIG}, the system prompt of step {name.partition('/')[2]!r}"
        return str(PurePosixPath(files.folder) / folder / name)

    def read(name: str, where: str | None) -> str:
        return decode_text(files.read(f"{folder}/{name}", MAX_TEMPLATE, where), display(name), MAX_TEMPLATE)

    return TemplateSet(read, display)


def _template_name(step: Step, templates: Section, findings: Findings) -> str:
    name = templates.required_text(step.name)
    if step.template is not None and step.template != name:
        findings.warn(f"step {step.name!r} says prompt_template {step.template!r}; prompts.templates ({name!r}) is used", step.where)
    return name


def _schema(step: Step, names: Section, files: PipelineFiles, folder: str) -> JsonObject:
    name = names.required_text(step.name)
    path = f"{folder}/{name}"
    return read_schema(files.read(path, MAX_SCHEMA, names.where(step.name)), str(PurePosixPath(files.folder) / path))


def _check_compiled(pipeline: Pipeline, facts: Mapping[str, TemplateFacts], findings: Findings) -> None:
    NameFlow(pipeline, compile_pipeline(pipeline), facts, findings).check()
    findings.raise_any()
