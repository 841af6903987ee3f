"""What the dataset converters share.

Every converter keeps to the same rules, and they are kept here: the input is only read; a file is
there whole or not at all; a file that exists is never written over; what was written is read back
and compared; a run that was interrupted goes on where it stopped, and one that finds everything
done looks whether it is sound.
"""

from __future__ import annotations

from preparing.checking import check_instances, check_panoptic, paired_names
from preparing.running import convert_images, convert_split
from preparing.writing import copy_photo, write_json_once, write_map_once, write_photo_once

__all__ = ['check_instances', 'check_panoptic', 'convert_images', 'convert_split', 'copy_photo',
           'paired_names', 'write_json_once', 'write_map_once', 'write_photo_once']
