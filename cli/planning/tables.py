"""A forecast as people read it."""

from collections.abc import Iterator

from rich.table import Table

from cli.planning.forecast import Forecast


def tables(found: Forecast) -> Iterator[Table | str]:
    """Tables and lines, in the order in which they are to be printed."""
    plan = found.plan
    how = Table(title=f"{found.clients} clients, a model of {found.model_bytes:,} bytes, rule {found.rule}")
    for column in ("parts", "shards", "groups", "stages", "bytes of an update", "read by a job", "invocations"):
        how.add_column(column, justify="right")
    invocations = ", ".join(f"{name} {count}" for name, count in found.invocations.items())
    stages = " → ".join(plan.stages)
    sizes = f"{found.update_bytes:,}", f"{plan.read_bytes:,}"
    how.add_row(str(found.parts), str(plan.shards), str(plan.groups), stages, *sizes, invocations)
    yield how
    yield _amounts("seconds, besides the devices' own", found.seconds, "{:.2f}")
    yield _amounts(f"memory in MiB, of {found.limit_mb}", found.memory_mb, "{:.0f}")
    if (inspecting := found.memory_mb["inspecting"]) > found.limit_mb:
        yield (
            "[bold red]not enough memory:[/] inspecting updates that arrive together would take "
            f"{inspecting:,.0f} MiB: choose an encoding of fewer bytes, or raise the averager's MemorySize in "
            "cloud/template.yaml"
        )
    calls = {f"{name}: {kind}": float(n) for name, kinds in found.calls.items() for kind, n in kinds.items()}
    yield _amounts("calls to AWS ('later': looks at the ended round)", calls, "{:,.0f}")
    yield _amounts("dollars a round", found.dollars, "{:.6f}", total=True)
    yield f"1,000 rounds: ${found.dollars_a_thousand_rounds:,.2f}; a round's model kept: ${found.keep:.6f} each month"
    yield _amounts("dollars a month, with rounds or without", found.month, "{:.2f}", total=True)
    yield f"list prices in {found.region}, on demand, no free tier, each update alone in its invocation:"
    for price in found.price_list:
        yield f"  ${price.dollars:g} per {price.per:,.0f} {price.unit}: as of {price.as_of}, {price.page}"


def _amounts(title: str, amounts: dict[str, float], form: str, *, total: bool = False) -> Table:
    table = Table("", title)
    table.columns[1].justify = "right"
    for name, amount in amounts.items():
        table.add_row(name, form.format(amount))
    if total:
        table.add_row("[bold]in all[/]", f"[bold]{form.format(sum(amounts.values()))}[/]")
    return table
