_base_ = './maskformer.py'
max_iters = 160000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=5000)
param_scheduler = [dict(type='PolyLR', power=0.9, by_epoch=False)]
