# The same with Muon: fewer steps for the same scores (docs/benchmark.md).
_base_ = './mask2former_small.py'
optim_wrapper = dict(optimizer=dict(
    type='Muon', lr=1e-3, betas=(0.9, 0.999), nesterov=True, ns_steps=3))
