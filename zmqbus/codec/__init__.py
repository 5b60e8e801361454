"""Bus messages to bytes and back."""

from zmqbus.codec.ids import IdSpace as IdSpace
from zmqbus.codec.serializer import MsgpackSerializer as MsgpackSerializer

__all__ = ["IdSpace", "MsgpackSerializer"]
