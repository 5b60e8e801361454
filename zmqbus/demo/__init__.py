"""The main job on real speech, in processes that share nothing but a `ZmqBus`.

::

    microphone               listener                         desk (the command itself)
    PipelineWorker           PipelineWorker, bridged          BaseWorker
    recording -> bridge  ──► ear: count, time                 shows what happens
                             Silero: speech or silence   ◄──  job `transcribe` (a stream)
                             recognizer: text            ──►
                  ◄─────────────────────────────────────────  job `play`

With `--kill` a second listener stands by. It hears the same audio, since that is broadcast; when
the first is killed in mid-sentence, the desk gets an ERROR response to its job and asks the
standby to go on from where the last complete sentence ended.

The desk asks the microphone to play only when the listener has answered that it listens, and the
microphone waits for those who stand by, so nothing can be lost by construction, whatever starts
first. Every frame carries its number and the time it was sent: what the summary says was counted at
the ear.

`session` is the program; `microphone`, `listener` and `desk` are the runners; `ear` is where sound
is kept, also for a hand-over; `recording`, `tally`, `failover` and `summary` know nothing of
pipecat.
"""
