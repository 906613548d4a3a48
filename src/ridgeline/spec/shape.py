"""Is everything there, known and of its type? The schema's verdict, in the words of the file."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from ridgeline.errors import Problem
from ridgeline.spec._raw import NOT_TEXT, RawParts, RawSpec
from ridgeline.spec.document import (
    MAX_PROBLEMS,
    Entries,
    Found,
    Items,
    Location,
    Scalar,
    find,
    plain,
)
from ridgeline.spec.words import did_you_mean, flow, listed, shown

# What other tools call our fields.
_OTHER_NAMES: Final = {
    "name": "network",
    "as": "asn",
    "as-number": "asn",
    "pops": "sites",
    "nodes": "sites",
    "locations": "sites",
    "subnets": "prefixes",
    "networks": "prefixes",
    "peers": "upstreams",
    "neighbors": "upstreams",
    "neighbours": "upstreams",
    "transits": "upstreams",
    "providers": "upstreams",
    "place": "location",
    "type": "kind",
    "ips": "addresses",
    "listen": "addresses",
    "backend": "origin",
    "cert": "certificate",
    "acl": "clients",
    "allow": "clients",
    "rrl": "rate_limit",
    "ratelimit": "rate_limit",
    "hidden-primary": "primary",
    "master": "primary",
    "signed": "dnssec",
    "validate": "dnssec",
    "redirect": "handoff",
    "keys": "secrets",
    "latitude": "lat",
    "longitude": "lon",
    "long": "lon",
    "lng": "lon",
}
_KEY_MARK: Final = "[key]"  # pydantic's last step where a key of a mapping is at fault


def read_shape(root: Entries, *, file: str) -> tuple[RawSpec | None, RawParts, list[Problem]]:
    """Type the document: all of it if it is right, the parts that are, and what is wrong."""
    data = plain(root)
    try:
        return RawSpec.model_validate(data), RawParts.model_validate(data), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    for detail in details:
        _prune(data, detail["loc"])
    problems = []
    for detail in details[: MAX_PROBLEMS + 1]:
        found, message = _explain(root, detail)
        if not _said_already(root, detail, found):
            at = found.key_at if detail["type"] == "extra_forbidden" else found.at
            problems.append(Problem(file, at.line, at.column, found.where, message))
    return None, RawParts.model_validate(data), problems


def _said_already(root: Entries, detail: ErrorDetails, found: Found) -> bool:
    """Whether the document's problems cover this: an alias or no value stands here."""
    is_broken = isinstance(found.node, Scalar) and found.node.broken
    match detail["type"], detail["loc"]:
        case "missing", (*parent, _):
            node = find(root, tuple(parent)).node
            return isinstance(node, Entries) and "<<" in node.nodes  # YAML 1.1's merge key
        case "extra_forbidden", (*_, key):
            return is_broken and key == "<<"
    return is_broken


def _explain(root: Entries, detail: ErrorDetails) -> tuple[Found, str]:
    location = detail["loc"]
    found = find(root, location)
    if location[-1] == _KEY_MARK and found.node is None:
        found = find(root, location[:-1])
        found = Found(found.key_at, found.key_at, found.where, None)
    model, info = _field_at(location)
    example = _example(info, location)
    match detail["type"]:
        case "value_error":
            message = str(detail["ctx"]["error"])
        case "missing":
            message = f"is missing: {_described(info)}{example}"
        case "extra_forbidden":
            message = f"is not known here{_hint(str(location[-1]), model)}"
        case "too_short":
            message = f"is empty; at least one is needed{example}"
        case "list_type":
            message = f"is {_what(found)}; a list is needed{example}"
        case "dict_type" | "model_type":
            message = f"is {_what(found)}; a mapping is needed{example}"
        case kind if kind == NOT_TEXT:
            message = f"is {_what(found)}; one value is needed{example}"
        case _:
            message = detail["msg"]
    return found, message


def _field_at(location: Location) -> tuple[type[BaseModel], FieldInfo | None]:
    """Follow the location through the models: the last model, and its field if one was named."""
    model: type[BaseModel] = RawSpec
    info: FieldInfo | None = None
    named = False  # the next step is a name of the author's, not of ours
    for part in location:
        if isinstance(part, int) or named:
            named = False
            continue
        info = model.model_fields.get(part)
        if info is None:
            break
        named = get_origin(info.annotation) is dict
        model = next(_models_in(info.annotation), model)
    return model, info


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _described(info: FieldInfo | None) -> str:
    if info is None or not info.description:
        return "it is required"
    description = info.description
    return f"{description[0].lower()}{description[1:]}"


def _example(info: FieldInfo | None, location: Location) -> str:
    """Give an example of what the location names: of a field, or of one item of a field."""
    if info is None or not info.examples:
        return ""
    match info.examples[0], location[-1]:
        case [item, *_], int():
            return f", such as {flow(item)}"
        case dict() as items, str(name) if (
            get_origin(info.annotation) is dict and len(location) > 1
        ):
            return f", such as {flow(items.get(name, next(iter(items.values()))))}"
        case example, _:
            return f", such as {flow(example)}"


def _what(found: Found) -> str:
    match found.node:
        case Items():
            return "a list"
        case Entries():
            return "a mapping"
        case Scalar(text=text):
            return shown(text)
        case _:
            return "absent"


def _hint(key: str, model: type[BaseModel]) -> str:
    known = list(model.model_fields)
    other = _OTHER_NAMES.get(key.lower().replace("_", "-"), "")
    near = other if other in known else did_you_mean(key, known)
    if near:
        return f"; did you mean `{near}`?"
    homes = [where for where, names in _fields_by_home().items() if key in names]
    if homes:
        return f"; `{key}` stands in {listed(homes)}"
    return f"; known are {listed(known, 'and')}"


def _fields_by_home() -> Mapping[str, list[str]]:
    """Where each model's fields stand in the file."""
    homes: dict[str, list[str]] = {"the file itself": list(RawSpec.model_fields)}

    def visit(model: type[BaseModel], where: str) -> None:
        for name, info in model.model_fields.items():
            for inner in _models_in(info.annotation):
                step = f"{where}{name}"
                if get_origin(info.annotation) is dict:
                    step += ".NAME"
                elif list in (
                    get_origin(info.annotation),
                    *map(get_origin, get_args(info.annotation)),
                ):
                    step += "[]"
                homes[step] = list(inner.model_fields)
                visit(inner, f"{step}.")

    visit(RawSpec, "")
    return homes


def _prune(data: dict[str, Any], location: Location) -> None:
    """Take out the part that is wrong, and no more: an upstream, a site's field, a service..."""
    match location:
        case ("sites", str() as name, "upstreams", int() as index, *_) if _has_upstream(
            data, name, index
        ):
            data["sites"][name]["upstreams"][index] = None  # the others keep their numbers
        case ("sites", str() as name, str() as field, *_) if field != _KEY_MARK and isinstance(
            _site(data, name), dict
        ):
            data["sites"][name].pop(field, None)
        case ("sites" | "services" as group, str() as name, *_) if isinstance(
            data.get(group), dict
        ):
            data[group].pop(name, None)
        case (str() as name, *_):
            data.pop(name, None)


def _site(data: dict[str, Any], name: str) -> object:
    sites = data.get("sites")
    return sites.get(name) if isinstance(sites, dict) else None


def _has_upstream(data: dict[str, Any], name: str, index: int) -> bool:
    site = _site(data, name)
    upstreams = site.get("upstreams") if isinstance(site, dict) else None
    return isinstance(upstreams, list) and index < len(upstreams)
