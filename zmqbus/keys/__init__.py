"""Keys: what makes strangers members (R29, R30).

`MeshKey` is the one secret of a mesh. `RunnerKey` and `PublicKey` are the two halves of a runner's
own key, for those who admit runners one by one. `KeyRing` is what a node uses and accepts.
"""

from zmqbus.keys.ring import KeyRing as KeyRing
from zmqbus.keys.ring import Keys as Keys
from zmqbus.keys.secret_keys import MeshKey as MeshKey
from zmqbus.keys.secret_keys import PublicKey as PublicKey
from zmqbus.keys.secret_keys import RunnerKey as RunnerKey
from zmqbus.keys.settings import KeyArgument as KeyArgument
from zmqbus.keys.settings import choose_ring as choose_ring
from zmqbus.keys.settings import hide as hide
from zmqbus.keys.text import Secret as Secret
