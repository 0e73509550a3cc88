#!/bin/sh
# A Redis node: follows the primary.
set -eu
. /etc/redis-node/primary.sh
follow=
[ "$primary" = "$self" ] || follow="--replicaof $primary 6379"
echo "node $self, primary $primary"
# shellcheck disable=SC2086 # follow is three words or none
exec redis-server /run/secrets/redis.conf --dir /data --save '' --appendonly no --protected-mode no \
  --masterauth "$password" --replica-announce-ip "$self" --replica-announce-port 6379 $follow
