#!/bin/bash
# First process of the guest: an NFS v4.2 server and two client hosts (network namespaces with
# mounts of their own, nosharecache, so each has its own caches and its own NFS client state).
# RESTANTE_GUEST (from the kernel's command line) is a folder of the real machine with the
# programs `a` and `b`; their output goes there too.
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec > /dev/console 2>&1
mount -t proc proc /proc
mount -t sysfs sys /sys
for d in /run /var/lib/nfs /mnt; do mount -t tmpfs tmpfs "$d"; done
mkdir -p /var/lib/nfs/{sm,sm.bak,v4recovery,rpc_pipefs} /mnt/{export,mail,real,modules/lib} /run/netns
touch /var/lib/nfs/{etab,rmtab,xtab}
mount -t hostfs none /mnt/real -o "$RESTANTE_GUEST" || exit 1
ln -s /usr/lib/uml/modules /mnt/modules/lib/modules
for m in nfs nfsv4 nfsd veth; do modprobe -d /mnt/modules "$m" || exit 1; done
ip link set lo up
mount -t tmpfs -o size=400M,mode=755 export /mnt/export
mount -t nfsd nfsd /proc/fs/nfsd
echo 10 > /proc/fs/nfsd/nfsv4gracetime
echo 10 > /proc/fs/nfsd/nfsv4leasetime
for n in a b; do
  [ $n = a ] && net=10.9.1 || net=10.9.2
  ip netns add $n
  ip link add s$n type veth peer name c$n
  ip link set c$n netns $n
  ip addr add $net.1/24 dev s$n; ip link set s$n up
  ip -n $n addr add $net.2/24 dev c$n; ip -n $n link set c$n up; ip -n $n link set lo up
done
exportfs -o rw,sync,no_root_squash,fsid=0,no_subtree_check '10.9.0.0/16:/mnt/export'
rpc.mountd -N 2 -N 3 --manage-gids &
rpc.nfsd -N 3 -V 4.2 4 || exit 1
cat > /run/host <<'HOST'
[ $1 = a ] && net=10.9.1 || net=10.9.2
# To an NFS server, two clients of one name are one client that lost its memory.
hostname host-$1
export TMPDIR=/run
mount -t nfs4 -o vers=4.2,hard,sync,nosharecache $net.1:/ /mnt/mail || exit 1
cd /mnt/mail
/mnt/real/$1 > /mnt/real/$1.out 2>&1
echo $? > /mnt/real/$1.status
HOST
ip netns exec a unshare --uts bash /run/host a & one=$!
ip netns exec b unshare --uts bash /run/host b & two=$!
wait $one $two
sync
poweroff -f
