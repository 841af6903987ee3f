# Cityscapes semantic as SeMask-FPN is trained on it: crops of 768. Layout: as in the base.
_base_ = './cityscapes_semantic_512x1024.py'
from unimask.pipelines import draw_scale_and_crop, testing, training

crop_size = (768, 768)
train_pipeline = training(
    'LoadSemanticMap', draw_scale_and_crop((2048, 1024), crop_size, max_area=0.75))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# multi-scale and flipped testing, of the picture as it is in the file
tta_pipeline = testing('LoadSemanticMap')
tta_model = dict(max_long_side=(1024, 1536, 2048, 2560, 3072, 3584))
