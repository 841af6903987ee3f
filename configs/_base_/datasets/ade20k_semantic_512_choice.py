# ADE20K scene parsing as SeMask-FPN is trained on it. Layout: as in the base.
_base_ = './ade20k_semantic_512.py'
from unimask.pipelines import choose_scale_and_crop, testing, training

crop_size = (512, 512)
train_pipeline = training('LoadSemanticMap', choose_scale_and_crop(512, crop_size))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# multi-scale and flipped testing, of the picture as it is in the file
tta_pipeline = testing('LoadSemanticMap')
tta_model = dict(max_long_side=(1024, 1536, 2048, 2560, 3072, 3584))
