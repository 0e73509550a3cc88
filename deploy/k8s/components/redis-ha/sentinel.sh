#!/bin/sh
# The sentinel beside a node. What it learns stands in /data, until the pod is gone; then it learns anew.
set -eu
. /etc/redis-node/primary.sh
umask 077
[ -s /data/sentinel.conf ] || cat > /data/sentinel.conf <<CONF
port 26379
dir /data
protected-mode no
requirepass $password
sentinel sentinel-pass $password
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $self
sentinel announce-port 26379
sentinel monitor restante $primary 6379 2
sentinel auth-pass restante $password
sentinel down-after-milliseconds restante 3000
sentinel failover-timeout restante 15000
sentinel parallel-syncs restante 1
CONF
exec redis-server /data/sentinel.conf --sentinel
