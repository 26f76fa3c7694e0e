"""A forecast as people read it."""

from collections.abc import Iterator

from cli.planning.forecast import Forecast
from cli.plurals import counted
from cli.table import Table


def tables(found: Forecast) -> Iterator[Table | str]:
    """Tables and lines, in the order in which they are to be printed."""
    sharding = found.sharding
    how = {
        "parts": str(found.parts),
        "shards": str(sharding.shards),
        "groups": str(sharding.groups),
        "stages": " → ".join(sharding.stages),
        "bytes of an update": f"{found.update_bytes:,}",
        "read by a job": f"{sharding.read_bytes:,}",
        "invocations": ", ".join(f"{name} {count}" for name, count in found.invocations.items()),
        "calls to AWS": ", ".join(f"{service} {count:,}" for service, count in found.calls.items()),
    }
    others = f" of {found.fleet:,}" if found.fleet > found.clients else ""
    title = f"{counted(found.clients, 'client')}{others}, a model of {found.model_bytes:,} bytes, rule {found.rule}"
    yield Table(title=title, columns=("", ""), rows=list(how.items()))
    yield _amounts("seconds, besides the devices' own", found.seconds, "{:.2f}")
    yield _amounts(f"memory in MiB, of {found.limit_mb}", found.memory_mb, "{:.0f}")
    if (inspecting := found.memory_mb["inspecting"]) > found.limit_mb:
        yield (
            f"not enough memory: inspecting updates that arrive together would take {inspecting:,.0f} MiB: choose an "
            "encoding of fewer bytes, or raise the averager's MemorySize in cloud/template.yaml"
        )
    yield _amounts("dollars a round", found.dollars, "{:.6f}", total=True)
    yield f"1,000 rounds: ${found.dollars_a_thousand_rounds:,.2f}; a round's model kept: ${found.keep:.6f} each month"
    yield _amounts("dollars a month, with rounds or without", found.month, "{:.2f}", total=True)
    each = found.greengrass_month / found.fleet
    yield f"and for Greengrass itself: ${each:g} a core device, ${found.greengrass_month:,.2f} for {found.fleet:,}"
    yield f"list prices in {found.region}, on demand, no free tier, each update alone in its invocation:"
    for price in found.price_list:
        yield f"  ${price.dollars:g} per {price.per:,.0f} {price.unit}: as of {price.as_of}, {price.source}"


def _amounts(title: str, amounts: dict[str, float], form: str, *, total: bool = False) -> Table:
    rows = [(name, form.format(amount)) for name, amount in amounts.items()]
    if total:
        rows.append(("in all", form.format(sum(amounts.values()))))
    return Table(title=title, columns=("", ""), rows=rows)
