#!/bin/sh
# A Redis node: follows the primary that any sentinel knows; where none knows one, node 0 is it.
set -eu
password=$(sed -n 's/^ *requirepass *"\{0,1\}\([^"]*\)"\{0,1\} *$/\1/p' /run/secrets/redis.conf)
self="$HOSTNAME.$NODES"
primary=
for number in 0 1 2; do
  answer=$(REDISCLI_AUTH=$password timeout 2 redis-cli -h "redis-node-$number.$NODES" -p 26379 \
    sentinel get-master-addr-by-name restante 2>/dev/null | head -n 1) || answer=
  case $answer in redis-node-*) primary=$answer; break ;; esac
done
[ -n "$primary" ] || primary="redis-node-0.$NODES"
follow=
[ "$primary" = "$self" ] || follow="--replicaof $primary 6379"
echo "node $self, primary $primary"
# shellcheck disable=SC2086 # follow is three words or none
exec redis-server /run/secrets/redis.conf --dir /data --save '' --appendonly no --protected-mode no \
  --masterauth "$password" --replica-announce-ip "$self" --replica-announce-port 6379 $follow
