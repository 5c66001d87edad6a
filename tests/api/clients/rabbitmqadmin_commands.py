"""What `rabbitmqadmin` 2 is told, one command after the other, and what it has to print.

It is strictly typed: a field that is missing, or of another type than it expects, ends a command with an error.
"""

from __future__ import annotations

from dataclasses import dataclass

VHOST = "clients.v2"
USER = "clients.v2.user"
CLIENT = "clients-v2"
"""The name that the connection has which is looked at and closed."""


@dataclass(frozen=True)
class Command:
    """words: behind the options that say where the broker is; {node}, {port} and {connection} stand for those.

    shows: what the output has to have in it. lacks: what it must not have. code: of its exit. vhost: "" for none.
    """

    words: str
    shows: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    code: int = 0
    vhost: str = VHOST


def the(words: str, *shows: str, lacks: str = "", code: int = 0, vhost: str = VHOST) -> Command:
    """A command."""
    return Command(words, shows, (lacks,) if lacks else (), code, vhost)


URI = "amqp://guest:guest@127.0.0.1:{port}"
TLS_FILES = (
    "--node-local-ca-certificate-bundle-path /ca.pem --node-local-client-certificate-file-path /c.pem "
    "--node-local-client-private-key-file-path /k.pem"
)

MAKING = [
    the(f"vhosts declare --name {VHOST} --description of-clients --default-queue-type classic --tracing"),
    the("vhosts list", VHOST, "of-clients"),
    the("list vhosts", VHOST),
    the(f"vhosts enable_deletion_protection --name {VHOST}"),
    the(f"vhosts delete --name {VHOST}", code=1),
    the(f"vhosts disable_deletion_protection --name {VHOST}"),
    the("permissions declare --username guest --configure .* --read .* --write .*"),
    the("permissions list", VHOST),
    the(f"users declare --name {USER} --password secret --tags monitoring,policymaker"),
    the("users list", USER, "monitoring"),
    the("list users --page 1 --page-size 100", USER),
    the("passwords salt_and_hash secret", "hash"),
    the(f"declare permissions --username {USER} --configure ^a --read ^b --write ^c"),
    the("list permissions", USER, "^a"),
    the("users permissions", USER),
    the(f"user_limits declare --username {USER} --name max-connections --value 7"),
    the("user_limits list", USER, "max-connections", "7"),
    the("users limits", USER),
    the("list user_limits", USER),
    the(f"declare user_limit --username {USER} --name max-channels --value 70"),
    the("vhost_limits declare --name max-queues --value 77"),
    the("vhost_limits list", "max-queues", "77"),
    the("declare vhost_limit --name max-connections --value 88"),
    the("list vhost_limits", "max-connections", "88"),
    the("queues declare --name classic --type classic --durable true"),
    the("""declare queue --name quorum --type quorum --arguments '{{"x-max-length":10}}'"""),
    the("queues list", "classic", "quorum"),
    the("queues list --page 1 --page-size 1", "classic", lacks="quorum"),
    the("queues list --columns name,type", "quorum"),
    the("list queues", "classic"),
    the("queues show --name quorum", "quorum"),
    the("queues show --name quorum --columns name,messages", "quorum"),
    the("queues show --name nowhere", code=1),
    the("exchanges declare --name topics --type topic --durable true"),
    the("declare exchange --name fans --type fanout"),
    the("exchanges list", "topics", "topic", "amq.direct"),
    the("list exchanges --page 1 --page-size 20", "fans"),
    the("bindings declare --source topics --destination-type queue --destination classic --routing-key a.#"),
    the("declare binding --source topics --destination-type exchange --destination fans --routing-key b"),
    the(
        "exchanges bind --source fans --destination-type queue --destination quorum --routing-key k"
        """ --arguments '{{"x":1}}'"""
    ),
    the("bindings list", "topics", "a.#", "classic", "quorum"),
    the("list bindings", "fans"),
]

MESSAGES = [
    the("publish message --exchange topics --routing-key a.b --payload hello-there"),
    the("""publish message --routing-key classic --payload two --properties '{{"delivery_mode":2}}'"""),
    the("get messages --queue classic --count 2 --ack-mode ack_requeue_true", "hello-there", "two"),
    the("get messages --queue classic", "hello-there"),
    the("queues purge --name classic"),
    the("purge queue --name quorum"),
    the("get messages --queue classic", lacks="two"),
]

CLIENTS = [
    the("connections list", "{connection}", "guest"),
    the("list connections --page 1 --page-size 10", "{connection}"),
    the("connections list_of_user --username guest", "{connection}"),
    the("list user_connections --username guest", "{connection}"),
    the("users connections --username guest", "{connection}"),
    the("channels list", "{connection} (1)"),
    the("list channels --page 1 --page-size 10", "{connection} (1)"),
    the("list consumers", "of-clients-v2"),
    the("connections close --name '{connection}'"),
    the("close connection --name '{connection}' --idempotently"),
    the(f"connections close_of_user --username {USER}"),
    the(f"close user_connections --username {USER} --idempotently"),
]

POLICIES = [
    the(
        "policies declare --name one --pattern ^cl --apply-to queues --priority 3"
        """ --definition '{{"max-length":5,"overflow":"reject-publish"}}'"""
    ),
    the(
        "declare policy --name two --pattern . --apply-to exchanges"
        """ --definition '{{"alternate-exchange":"fans"}}'"""
    ),
    the("policies list", "one", "max-length", "two"),
    the("list policies", "two"),
    the("policies list_in", "one"),
    the("policies list_in --apply-to exchanges", "two", lacks="one"),
    the("policies list_matching_object --name classic --type queues", "one"),
    the("policies list_conflicting"),
    the("policies list_conflicting_in"),
    the("""policies patch --name one --definition '{{"max-length-bytes":99}}'"""),
    the("policies list", "max-length-bytes"),
    the("policies update_definition --name one --definition-key max-length --new-value 6"),
    the("policies update_definitions_of_all_in --definition-key max-length --new-value 8"),
    the("policies update_definitions_of_all --definition-key max-length --new-value 9"),
    the("policies delete_definition_keys --name one --definition-keys max-length-bytes"),
    the("policies delete_definition_keys_from_all_in --definition-keys overflow"),
    the("policies delete_definition_keys_from_all --definition-keys overflow"),
    the("policies list", "one", lacks="max-length-bytes"),
    the("""policies declare_override --name one --override-name over --definition '{{"expires":900000}}'"""),
    the("""policies declare_blanket --name blanket --apply-to queues --definition '{{"max-length":99}}'"""),
    the("policies list", "over", "blanket"),
    the("policies delete --name blanket"),
    the("delete policy --name over"),
    the("delete policy --name over", code=1),
    the("delete policy --name over --idempotently"),
    the(
        "operator_policies declare --name op --pattern ^cl --apply-to queues"
        """ --definition '{{"max-length":50,"expires":900000}}'"""
    ),
    the("""declare operator_policy --name op2 --pattern ^x --apply-to queues --definition '{{"max-length":1}}'"""),
    the("operator_policies list", "op", "op2"),
    the("list operator_policies", "op2"),
    the("operator_policies list_in --apply-to queues", "op2"),
    the("operator_policies list_matching_object --name classic --type queues", "op", lacks="op2"),
    the("""operator_policies patch --name op --definition '{{"max-length-bytes":99}}'"""),
    the("operator_policies update_definition --name op --definition-key max-length --new-value 40"),
    the("operator_policies update_definitions_of_all_in --definition-key max-length --new-value 41"),
    the("operator_policies delete_definition_keys --name op --definition-keys expires"),
    the("operator_policies delete_definition_keys_from_all_in --definition-keys max-length-bytes"),
    the("operator_policies list", "max-length", lacks="max-length-bytes"),
    the("operator_policies delete --name op"),
    the("delete operator_policy --name op2"),
]

PARAMETERS = [
    the(f"federation declare_upstream --name up --uri {URI}"),
    the(f"federation declare_upstream_for_exchanges --name upx --uri {URI} --max-hops 2"),
    the(f"federation declare_upstream_for_queues --name upq --uri {URI} --queue-name classic"),
    the("federation list_all_upstreams", "up", "upx", "upq"),
    the("federation list_all_links"),
    the("federation disable_tls_peer_verification_for_all_upstreams"),
    the(f"federation enable_tls_peer_verification_for_all_upstreams {TLS_FILES}"),
    the("parameters list --component federation-upstream", "upx"),
    the("list parameters --component federation-upstream", "upx"),
    the("parameters list_in --component federation-upstream", "upx"),
    the("parameters list_all", "upx", "federation-upstream"),
    the("""parameters set --component federation-upstream --name own --value '{{"uri":"amqp://127.0.0.1:{port}"}}'"""),
    the(
        """declare parameter --component federation-upstream --name own2 --value '{{"uri":"amqp://127.0.0.1:{port}"}}'"""
    ),
    the("parameters list_all", "own2"),
    the("parameters clear --component federation-upstream --name own"),
    the("delete parameter --component federation-upstream --name own2"),
    the("delete parameter --component federation-upstream --name own2", code=1),
    the("federation delete_upstream --name up"),
    the("federation delete_upstream --name upx"),
    the("federation delete_upstream --name upq"),
    the("""global_parameters set --name clients.v2 --value '{{"a":1}}'"""),
    the("global_parameters list", "clients.v2"),
    the("global_parameters clear --name clients.v2"),
    the("global_parameters clear --name clients.v2", code=1),
    the("global_parameters clear --name clients.v2 --idempotently", code=1),
]

SHOVELS = [
    the(
        f"shovels declare_amqp091 --name sh --source-uri {URI} --destination-uri {URI}"
        " --source-queue classic --destination-queue quorum"
    ),
    the(
        f"shovels declare_amqp10 --name sh10 --source-uri {URI} --destination-uri {URI}"
        " --source-address /queues/classic --destination-address /queues/quorum"
    ),
    the("shovels list_all"),
    the("shovels list"),
    the("parameters list --component shovel", "sh"),
    the("shovels disable_tls_peer_verification_for_all_source_uris"),
    the("shovels disable_tls_peer_verification_for_all_destination_uris"),
    the(f"shovels enable_tls_peer_verification_for_all_source_uris {TLS_FILES}"),
    the(f"shovels enable_tls_peer_verification_for_all_destination_uris {TLS_FILES}"),
    the("shovels delete --name sh --idempotently"),
    the("delete shovel --name sh --idempotently"),
]

LOOKING = [
    the("show overview", "Product name", "Queues and streams (total)"),
    the("show churn", "onnections"),
    the("show endpoint", "127.0.0.1"),
    the("show memory_breakdown_in_bytes --node {node}", "otal"),
    the("show memory_breakdown_in_percent --node {node}", "%"),
    the("nodes list", "{node}"),
    the("list nodes", "{node}"),
    the("nodes memory_breakdown_in_bytes --node {node}", "Total ("),
    the("nodes memory_breakdown_in_percent --node {node}", "%"),
    the("auth_attempts stats --node {node}"),
    the("feature_flags list", "quorum_queue"),
    the("list feature_flags", "quorum_queue"),
    the("feature_flags enable --name quorum_queue"),
    the("feature_flags enable_all"),
    the("deprecated_features list", "global_qos"),
    the("list deprecated_features", "global_qos"),
    the("deprecated_features list_used"),
    the("list deprecated_features_in_use"),
    the("plugins list_all", "rabbitmq_management"),
    the("plugins list_on_node --node {node}", "rabbitmq_management"),
    the("health_check local_alarms"),
    the("health_check cluster_wide_alarms"),
    the("health_check node_is_quorum_critical"),
    the("health_check deprecated_features_in_use", code=1),  # which 2.29 offers, and does not know
    the("health_check port_listener --port {port}"),
    the("health_check port_listener --port 9", code=1),
    the("health_check protocol_listener --protocol amqp"),
    the("health_check protocol_listener --protocol mqtt", code=1),
    the("queues rebalance"),
    the("rebalance queues"),
    the("streams list"),
    the("streams declare --name stream --expiration 1h", "stream", code=1),
    the("declare stream --name stream --expiration 1h", "stream", code=1),
    the("streams show --name stream", code=1),
    the("streams delete --name stream", code=1),
    the("delete stream --name stream --idempotently"),
]

DEFINITIONS = [
    the("definitions export --file {folder}/all.json"),
    the("definitions export --stdout", VHOST, USER),
    the("export definitions --stdout", VHOST),
    the("definitions export --stdout --transformations exclude_users", VHOST, lacks='"password_hash"'),
    the(
        "definitions export --stdout --transformations prepare_for_quorum_queue_migration,drop_empty_policies",
        VHOST,
    ),
    the("definitions export_from_vhost --file {folder}/vhost.json"),
    the("definitions export_from_vhost --stdout", "classic", "topics"),
    the("definitions import --file {folder}/all.json"),
    the("import definitions --file {folder}/all.json"),
    the("delete queue --name classic"),
    the("definitions import_into_vhost --file {folder}/vhost.json"),
    the("queues list", "classic"),
]

DELETING = [
    the("bindings delete --source topics --destination-type queue --destination classic --routing-key a.#"),
    the("delete binding --source topics --destination-type exchange --destination fans --routing-key b"),
    the(
        "exchanges unbind --source fans --destination-type queue --destination quorum --routing-key k"
        """ --arguments '{{"x":1}}'"""
    ),
    the("list bindings", lacks="a.#"),
    the("exchanges delete --name topics"),
    the("delete exchange --name fans"),
    the("delete exchange --name fans", code=1),
    the("delete exchange --name fans --idempotently"),
    the("queues delete --name classic"),
    the("delete queue --name quorum"),
    the("delete queue --name quorum", code=1),
    the("vhost_limits delete --name max-queues"),
    the("delete vhost_limit --name max-connections"),
    the(f"user_limits delete --username {USER} --name max-connections"),
    the(f"delete user_limit --username {USER} --name max-channels"),
    the(f"permissions delete --username {USER}"),
    the(f"delete permissions --username {USER}", code=1),
    the(f"users delete --name {USER}"),
    the(f"delete user --name {USER} --idempotently"),
    the(f"declare user --name {USER} --password secret"),
    the(f"delete user --name {USER}"),
    the(f"declare vhost --name {VHOST}.more"),
    the(f"vhosts delete_multiple --name-pattern ^{VHOST} --dry-run", f"{VHOST}.more"),
    the(f"vhosts delete_multiple --name-pattern ^{VHOST} --approve --non-interactive"),
    the(f"delete vhost --name {VHOST}", code=1),
    the(f"delete vhost --name {VHOST} --idempotently"),
    the("vhosts list", lacks=VHOST),
]
