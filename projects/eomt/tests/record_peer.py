"""Record what transformers' EoMT makes of weights that :mod:`peer_values` gives it.

    python projects/eomt/tests/record_peer.py projects/eomt/tests/peer.npz

Needs ``transformers`` (5.24 was used), which the tests do not. Only its public classes are used.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers

sys.path.insert(0, str(Path(__file__).parent))
from peer_values import images, value

SIZE, QUERIES, CLASSES = 64, 7, 5
COMMON = dict(hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=SIZE,
              patch_size=16, num_blocks=2, num_queries=QUERIES, num_labels=CLASSES)
# timm's DINOv3 has this epsilon; the coordinates are rescaled at random in training alone.
DINOV3 = dict(COMMON, intermediate_size=128, layer_norm_eps=1e-5, pos_embed_rescale=None)
# Case -> class, settings, and the share of masked queries.
CASES = {
    'dinov2': ('Eomt', COMMON, 0.0),
    'dinov2_masked': ('Eomt', COMMON, 1.0),
    'dinov2_swiglu': ('Eomt', dict(COMMON, use_swiglu_ffn=True), 0.0),
    'dinov3': ('EomtDinov3', DINOV3, 0.0),
    'dinov3_masked': ('EomtDinov3', DINOV3, 1.0),
}


def record(family: str, settings: dict, share: float) -> tuple[dict, dict]:
    """Names with shapes, and outputs."""
    config = getattr(transformers, f'{family}Config')(**settings)
    model = getattr(transformers, f'{family}ForUniversalSegmentation')(config).eval()
    shapes = {name: tuple(each.shape) for name, each in model.state_dict().items()}
    model.load_state_dict({name: torch.from_numpy(value(name, shape))
                           for name, shape in shapes.items()})
    model.attn_mask_probs.fill_(share)
    with torch.no_grad():
        out = model(pixel_values=torch.from_numpy(images(2, SIZE)))
    return shapes, dict(classes=out.class_queries_logits.numpy(),
                        masks=out.masks_queries_logits.numpy())


def main() -> None:
    """Write all cases into one file."""
    content: dict[str, np.ndarray] = {}
    shapes = {}
    for case, arguments in CASES.items():
        shapes[case], outputs = record(*arguments)
        content |= {f'{case}/{name}': array for name, array in outputs.items()}
    about = dict(transformers=transformers.__version__, torch=torch.__version__, shapes=shapes)
    np.savez_compressed(sys.argv[1], about=json.dumps(about), **content)


if __name__ == '__main__':
    main()
