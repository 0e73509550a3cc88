"""A stand-in for grpcurl, which Debian has no package of: those of its options that our documents
use. Like it, it knows nothing of our services but what reflection tells.

python grpcurl.py [-plaintext] [-unix] [-authority A] [-cacert F -cert F -key F] [-H "K: V"]...
    [-d JSON] ADDRESS {list | describe SYMBOL | SERVICE/METHOD}
"""

import argparse
import sys
from pathlib import Path

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)


def main() -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for flag in ("-plaintext", "-unix"):
        parser.add_argument(flag, action="store_true")
    for option in ("-authority", "-cacert", "-cert", "-key", "-d"):
        parser.add_argument(option, default="")
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("words", nargs="+")
    given = parser.parse_args()
    address, verb, *symbol = given.words
    channel = _channel(given, f"unix:{address}" if given.unix else address)
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    if verb == "list":
        print("\n".join(ProtoReflectionDescriptorDatabase(channel).get_services()))
    elif verb == "describe":
        for method in pool.FindServiceByName(symbol[0]).methods:
            print(f"rpc {method.name} ( {method.input_type.name} )")
    else:
        return _call(channel, pool, verb, given)
    return 0


def _channel(given: argparse.Namespace, target: str) -> grpc.Channel:
    options = [("grpc.default_authority", given.authority)] if given.authority else []
    if given.plaintext:
        return grpc.insecure_channel(target, options)
    credentials = grpc.ssl_channel_credentials(
        Path(given.cacert).read_bytes(),
        Path(given.key).read_bytes() if given.key else None,
        Path(given.cert).read_bytes() if given.cert else None,
    )
    return grpc.secure_channel(target, credentials, options)


def _call(channel: grpc.Channel, pool: DescriptorPool, verb: str, given: argparse.Namespace) -> int:
    service, _, name = verb.rpartition("/")
    method = pool.FindServiceByName(service).FindMethodByName(name)
    request = json_format.Parse(given.d or "{}", GetMessageClass(method.input_type)())
    answer = GetMessageClass(method.output_type)
    call = channel.unary_unary(f"/{verb}", type(request).SerializeToString, answer.FromString)
    pairs = (text.partition(":") for text in given.H)
    headers = tuple((key.lower(), value.strip()) for key, _, value in pairs)
    try:
        print(json_format.MessageToJson(call(request, metadata=headers, timeout=20)))
    except grpc.RpcError as error:
        print(f"ERROR:\n  Code: {error.code()}\n  Message: {error.details()}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
