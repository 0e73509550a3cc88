# Sets password, self and primary: the one that any sentinel knows; where none knows one, node 0.
password=$(sed -n 's/^ *requirepass *"\{0,1\}\([^"]*\)"\{0,1\} *$/\1/p' /run/secrets/redis.conf)
self="$HOSTNAME.$NODES"
primary=
for number in 0 1 2; do
  answer=$(REDISCLI_AUTH=$password timeout 2 redis-cli -h "redis-node-$number.$NODES" -p 26379 \
    sentinel get-master-addr-by-name restante 2>/dev/null | head -n 1) || answer=
  case $answer in redis-node-*) primary=$answer; break ;; esac
done
[ -n "$primary" ] || primary="redis-node-0.$NODES"
