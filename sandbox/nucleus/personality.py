"""The two Greengrass nuclei, as far as a component can tell them apart: the classic one in Java, and nucleus lite in C.

The traits name each difference where it matters; here is what the two make of them. Sources are measurements on
nucleus lite 2.6, and both nuclei's documentation and code.
"""

from collections.abc import Callable, Sequence
from http import HTTPStatus

import msgspec
from awscrt import mqtt5

from sandbox.nucleus.credentials import CredentialsTraits
from sandbox.nucleus.eventstream import MAX_FRAME_BYTES
from sandbox.nucleus.ipc import IpcTraits
from sandbox.nucleus.lifecycle import LifecycleTraits
from sandbox.nucleus.mqtt import MqttTraits
from sandbox.nucleus.operations import OperationTraits
from sandbox.nucleus.recipe import TOKEN_EXCHANGE, RecipeTraits
from sandbox.nucleus.reconnect_delays import LineWaits
from sandbox.nucleus.scripts import fill_in_classic, fill_in_lite
from sandbox.nucleus.sending import NoSpool, Spool
from sandbox.nucleus.tokens import TokenEachComponent, TokenEachStart, Tokens


class Personality(msgspec.Struct, frozen=True, kw_only=True):
    """One nucleus. `version` is what components are told; `component` is what it is in deployments; `interpolates`: it
    fills in variables in components' configurations, if its own asks for that; `knows_subdeployments`: it takes one
    for part of a group as one of the group; `unpacks_archives`: artifacts with Unarchive: ZIP are unpacked even in a
    local deployment; `takes_components_along`: it is one process, and its components end when it restarts; `tokens`:
    how it knows components."""

    name: str
    version: str
    socket_name: str
    component: str
    takes_for_granted: frozenset[str]
    interpolates: bool
    knows_subdeployments: bool
    unpacks_archives: bool
    takes_components_along: bool
    credentials: CredentialsTraits
    tokens: Callable[[], Tokens]
    ipc: IpcTraits
    operations: OperationTraits
    mqtt: MqttTraits
    recipes: RecipeTraits
    lifecycle: LifecycleTraits


CLASSIC = Personality(
    name="classic",
    version="2.16.0",
    socket_name="ipc.socket",
    component="aws.greengrass.Nucleus",
    takes_for_granted=frozenset(),
    interpolates=True,
    knows_subdeployments=True,
    unpacks_archives=True,
    takes_components_along=True,
    credentials=CredentialsTraits(
        none=(HTTPStatus.INTERNAL_SERVER_ERROR, b'{"message": "token exchange failed"}'),
        wrong_token=(HTTPStatus.FORBIDDEN, b'{"message": "wrong authorization token"}'),
        wrong_path=(HTTPStatus.NOT_FOUND, b'{"message": "no such resource"}'),
        stands_alone=False,
    ),
    tokens=TokenEachStart,
    ipc=IpcTraits(
        error_fields=("message", "_message"),
        max_frame_bytes=MAX_FRAME_BYTES,
        ends_streams=True,
        explains_closing=True,
        answers_pings=True,
        outlives_bad_requests=False,
    ),
    operations=OperationTraits(
        missing=frozenset(),
        unauthorized="Principal {component} is not authorized to perform {action} on resource {resource}",
        bad_argument="InvalidArgumentsError",
        qualities={"0": 0, "1": 1},
        payload_may_be_missing=False,
        refuses_wildcards=True,
    ),
    mqtt=MqttTraits(
        sending=Spool,
        offline_queue=mqtt5.ClientOperationQueueBehaviorType.FAIL_NON_QOS1_PUBLISH_ON_DISCONNECT,
        awaits_subscriptions=True,
        max_packet_bytes=None,
        waits=LineWaits(notice_s=0.0, first_retry_s=0.2, max_retry_s=5.0),
    ),
    recipes=RecipeTraits(
        exact_keys=False,
        keeps_types=True,
        steps=frozenset({"install", "startup", "run", "shutdown", "recover"}),
        ignores_steps=False,
        skips=True,
        runtime="aws_nucleus_classic",
        needed_platform=frozenset(),
        passed_over=frozenset(),
    ),
    lifecycle=LifecycleTraits(
        fill_in=fill_in_classic,
        stop_grace_s=5.0,
        restart_delay_s=0.2,
        install_wait_s=None,
        systemd=None,
        counts_starts=False,
        restarts_reported=True,
    ),
)

LITE = Personality(
    name="lite",
    version="2.6.0",
    socket_name="gg-ipc.socket",
    component="aws.greengrass.NucleusLite",
    takes_for_granted=frozenset({"aws.greengrass.Nucleus", TOKEN_EXCHANGE}),
    interpolates=False,
    knows_subdeployments=False,
    unpacks_archives=False,
    takes_components_along=False,
    credentials=CredentialsTraits(
        none=(HTTPStatus.OK, b"null"),
        wrong_token=(HTTPStatus.BAD_REQUEST, b"SVCUID length must be exactly 16."),
        wrong_path=(HTTPStatus.BAD_REQUEST, b"Only /2016-11-01/credentialprovider/ uri is supported."),
        stands_alone=True,
    ),
    tokens=TokenEachComponent,
    ipc=IpcTraits(
        error_fields=("_message",),
        max_frame_bytes=10_012,
        ends_streams=False,
        explains_closing=False,
        answers_pings=False,
        outlives_bad_requests=True,
    ),
    operations=OperationTraits(
        missing=frozenset(
            {"DeferComponentUpdate", "SubscribeToComponentUpdates", "SubscribeToIoTCoreConnectionStatus"}
        ),
        unauthorized="IPC Operation not authorized.",
        bad_argument="ServiceError",
        qualities={None: 0, "0": 0, "1": 1, "2": 1},
        payload_may_be_missing=True,
        refuses_wildcards=False,
    ),
    mqtt=MqttTraits(
        sending=NoSpool,
        offline_queue=mqtt5.ClientOperationQueueBehaviorType.FAIL_ALL_ON_DISCONNECT,
        awaits_subscriptions=False,
        max_packet_bytes=5_000,
        waits=LineWaits(notice_s=51.0, first_retry_s=5.0, max_retry_s=300.0),
    ),
    recipes=RecipeTraits(
        exact_keys=True,
        keeps_types=False,
        steps=frozenset({"install", "startup", "run"}),
        ignores_steps=True,
        skips=False,
        runtime="aws_nucleus_lite",
        needed_platform=frozenset({"os", "runtime"}),
        passed_over=frozenset({"aws.greengrass.Nucleus", "aws.greengrass.Cli"}),
    ),
    lifecycle=LifecycleTraits(
        fill_in=fill_in_lite,
        stop_grace_s=120.0,
        restart_delay_s=1.0,
        install_wait_s=300.0,
        systemd=252,
        counts_starts=True,
        restarts_reported=False,
    ),
)


def with_line_waits(personality: Personality, waits: LineWaits) -> Personality:
    """The same nucleus with other waits than it has on a device: there they last minutes."""
    return msgspec.structs.replace(personality, mqtt=msgspec.structs.replace(personality.mqtt, waits=waits))


FLEETS: dict[str, Sequence[Personality]] = {"classic": (CLASSIC,), "lite": (LITE,), "mixed": (CLASSIC, LITE)}
"""What a fleet's devices run, by its name: one after the other, and again from the first."""
