"""The main job on real speech, in three processes that share nothing but a `ZmqBus`.

::

    microphone               listener                         desk (the command itself)
    PipelineWorker           PipelineWorker, bridged          BaseWorker
    recording -> bridge  ──► ear: count, time                 shows what happens
                             Silero: speech or silence   ◄──  job `transcribe` (a stream)
                             recognizer: text            ──►
                  ◄─────────────────────────────────────────  job `play`

The desk asks the microphone to play only when the listener has answered that it listens, so
nothing can be lost by construction, whatever starts first. Every frame carries its number and the
time it was sent: what the summary says was counted at the ear.

`session` is the program; `microphone`, `listener` and `desk` are the three runners; `recording`,
`tally` and `summary` know nothing of pipecat.
"""
