"""Fuzzing of whatever a stranger can send: bytes in, a value or the documented error out.

`python -m fuzz TARGET` looks for inputs, guided by coverage; what it has found is kept in
``tests/fuzz/corpus`` and runs with the suite, where no fuzzer is needed.

=============  ===================================================================================
`target`       what a target is, and what must hold for every input
`targets`      all of them by name: `packets` on the wire, `messages`, and `texts` (keys, adverts,
               addresses, entries of the rendezvous)
`corpus`       inputs that were found, a file for each target
`__main__`     the runner
=============  ===================================================================================
"""
