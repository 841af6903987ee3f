# The demo's Mask2Former with the loss of this project beside its own.
_base_ = ['../../../configs/demo/mask2former_shapes.py']
custom_imports = dict(
    imports=['projects.example_project.example'], allow_failed_imports=False)
model = dict(criterion=dict(
    mask_losses=[*_base_.model.criterion.mask_losses, dict(type='MaskLovaszLoss', weight=1.0)]))
