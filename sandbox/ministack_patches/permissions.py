"""What IAM, and the policies of AWS IoT, allow: whom they ask, and what they know of a request."""

import re
import ssl
from typing import Any


def close_ministacks_back_doors() -> None:
    """Make ministack refuse what AWS refuses: a wrong signature by its root key (or the key "test", which it takes for
    that), and an MQTT client without a certificate."""
    from ministack.core import iam_evaluator
    from ministack.services import iot

    iam_evaluator._is_root_key = lambda _access_key_id: False
    build_context = iot._mtls_build_ssl_context

    def build_strict_context() -> ssl.SSLContext:
        context: ssl.SSLContext = build_context()
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    iot._mtls_build_ssl_context = build_strict_context


def authorize_named_shadows_by_name() -> None:
    """Make ministack's IAM ask for thing/THING/SHADOW where a named shadow is used, as AWS IoT does."""
    from ministack.core import iam_actions

    extract = iam_actions.extract_resource_arn

    def extract_with_shadow(
        service: str, method: str, path: str, headers: Any, body: Any, query: Any, *more: Any
    ) -> Any:
        arn = extract(service, method, path, headers, body, query, *more)
        name = (query or {}).get("name")
        if name and re.fullmatch(r"/things/[^/]+/shadow", path):
            return f"{arn}/{name[0] if isinstance(name, list) else name}"
        return arn

    iam_actions.extract_resource_arn = extract_with_shadow


def tell_policies_of_conditional_writes() -> None:
    """Make ministack's IAM know of a write whether it makes an object, and on which condition, as S3's does."""
    from ministack.core import iam_actions

    context_of = iam_actions._s3_object_context

    def context_with_condition(action: str, query: Any, path: str, headers: Any) -> Any:
        context = context_of(action, query, path, headers)
        if action == "s3:PutObject":
            is_step = "uploads" in query or "partNumber" in query
            context["s3:ObjectCreationOperation"] = str(not is_step).lower()
            if "if-none-match" in headers:
                context["s3:if-none-match"] = headers["if-none-match"]
        return context

    iam_actions._s3_object_context = context_with_condition


def tell_policies_of_things() -> None:
    """Make ministack's IAM know of which thing a device's credentials are: the tag that its session has says it."""
    from ministack.core import iam_evaluator

    resolve = iam_evaluator._resolve_condition_key

    def resolve_thing(key: str, request: Any) -> Any:
        if key.lower() == "credentials-iot:thingname":
            return request.principal_keys.get("aws:principaltag/thingname")
        return resolve(key, request)

    iam_evaluator._resolve_condition_key = resolve_thing


def count_policies_of_thing_groups() -> None:
    """Make ministack's MQTT broker count what is attached to the groups that a thing is in, and to those above them, if
    the client ID is the thing's name and the certificate is the thing's, as AWS IoT does."""
    from ministack.services import iot

    allows = iot._mqtt_policy_allows

    def allows_with_groups(account: str, region: str, certificate: str, context: dict[str, str], *asked: Any) -> bool:
        with iot.request_scope(account, region):
            own = iot._certificates.get(certificate)
            thing = context.get("iot:connection.thing.thingname")
            if own is None or thing is None:
                return bool(allows(account, region, certificate, context, *asked))
            groups = [group for group in iot._thing_groups.values() if thing in group.get("things", [])]
            for group in groups:  # grows by those above
                above = iot._thing_groups.get((group.get("thingGroupMetadata") or {}).get("parentGroupName") or "")
                groups += [above] if above and above not in groups else []
            attached = [policy for group in groups for policy in iot._policies_attached_to(group["thingGroupArn"])]
            names = [*own.get("attachedPolicies", []), *(policy["policyName"] for policy in attached)]
            iot._certificates[certificate] = own | {"attachedPolicies": names}
            try:
                return bool(allows(account, region, certificate, context, *asked))
            finally:
                iot._certificates[certificate] = own

    iot._mqtt_policy_allows = allows_with_groups


def take_loopback_for_tls() -> None:
    """Make ministack's IAM take every request for one that came by TLS: policies refuse others, and here is no TLS."""
    from ministack import app

    pin = app.pin_request_origin
    app.pin_request_origin = lambda source_ip, _secure: pin(source_ip, True)
