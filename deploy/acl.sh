#!/bin/sh
# Least rights of flowtrail's users on Kafka. For whoever may change ACLs; running it again changes nothing.
#
#   KAFKA_ACLS="kafka-acls.sh --bootstrap-server kafka-1:9093 --command-config admin.properties" deploy/acl.sh
#
# COLLECT  flowtrail collect, and doctor, which tries what a collector does
# SERVE    flowtrail serve
# REPLAY   flowtrail replay, onto TARGET too where that is named
# LOOK     flowtrail lag, verify, and replay --dry-run
#
# TOPIC, GROUP, LETTERS and TARGET are what is configured as kafka.topics, kafka.group, collector.dead_letter_topic and
# replay --into-topic; the latter two may be left out. No user may make or change a topic: `flowtrail publish --partitions` is
# for an administrator.
set -eu

: "${KAFKA_ACLS:=kafka-acls.sh --bootstrap-server localhost:9092}"
: "${TOPIC:=flow.history}" "${GROUP:=flowtrail}" "${LETTERS:=}" "${TARGET:=}"
: "${COLLECT:=User:flowtrail-collect}" "${SERVE:=User:flowtrail-serve}"
: "${REPLAY:=User:flowtrail-replay}" "${LOOK:=User:flowtrail-look}"

# allow USER OPTION…
allow() {
  user=$1
  shift
  # KAFKA_ACLS is a command with its options.
  # shellcheck disable=SC2086
  $KAFKA_ACLS --add --allow-principal "$user" "$@"
}

# Read allows to describe as well; the settings of the topic are for doctor.
allow "$COLLECT" --topic "$TOPIC" --operation Read --operation DescribeConfigs
allow "$COLLECT" --group "$GROUP" --operation Read
# Who records reads too, for /v1/stream/steps.
allow "$SERVE" --topic "$TOPIC" --operation Write --operation Read
# Progress of a replay is kept in Postgres, or with its records in groups of its own.
allow "$REPLAY" --topic "$TOPIC" --operation Read --operation DescribeConfigs
# Whether the slice is complete is judged by where the collectors are.
allow "$LOOK" --topic "$TOPIC" --operation Read --operation DescribeConfigs
allow "$LOOK" --group "$GROUP" --operation Describe
if [ -n "$LETTERS" ]; then
  allow "$COLLECT" --topic "$LETTERS" --operation Write
fi
if [ -n "$TARGET" ]; then
  allow "$REPLAY" --topic "$TARGET" --operation Write
  allow "$REPLAY" --resource-pattern-type prefixed --group replay- --operation Read
  allow "$REPLAY" --resource-pattern-type prefixed --transactional-id replay- --operation Write
fi
