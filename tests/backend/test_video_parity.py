"""A click is, to the bit, what transformers' video tracker answers on its first frame: the official embedding order."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers.models.sam3_tracker_video.configuration_sam3_tracker_video import Sam3TrackerVideoConfig
from transformers.models.sam3_tracker_video.modeling_sam3_tracker_video import (
    Sam3TrackerVideoInferenceSession,
    Sam3TrackerVideoModel,
)

from mlbackend.model.network import Sam3Network, tracker_config_for
from tests.backend.test_network import SIZE_PX, tiny_config

SCALES = [4.0, 2.0, 1.0, 0.5]  # the video tracker's own four, of which it drops the last


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub-layout checkpoint with random weights that hide nothing: uneven masks, a no-memory embedding that is not
    zero, and an object score that is sure, since the video tracker blanks the mask where it is not."""
    torch.manual_seed(5)
    network = Sam3Network.from_config(tiny_config(width=128))
    torch.nn.init.normal_(network.tracker.no_memory_embedding)
    decoder = network.tracker.mask_decoder
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(2.0 if parameter.ndim > 1 else 1.0)
        decoder.pred_obj_score_head.proj_out.bias.fill_(100.0)
    path = tmp_path_factory.mktemp("video")
    network.save(path)
    return path


@pytest.fixture(scope="module")
def video(folder: Path) -> Sam3TrackerVideoModel:
    """Its memory has random weights, since no memory takes part in a first frame."""
    image = tracker_config_for(tiny_config(width=128))
    vision = image.vision_config.to_dict() | {"scale_factors": SCALES}
    config = Sam3TrackerVideoConfig(
        vision_config=vision,
        prompt_encoder_config=image.prompt_encoder_config.to_dict(),
        mask_decoder_config=image.mask_decoder_config.to_dict(),
        memory_attention_hidden_size=128,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_encoder_hidden_size=128,
        mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=32,
        memory_fuser_num_layers=1,
        image_size=SIZE_PX,
    )
    return Sam3TrackerVideoModel.from_pretrained(folder, config=config).eval()


@pytest.mark.parametrize("points", [[[9.0, 30.0]], [[9.0, 30.0], [40.0, 12.0]]], ids=["one point", "two points"])
@torch.inference_mode()
def test_click_is_the_video_trackers_first_frame(
    folder: Path, video: Sam3TrackerVideoModel, points: list[list[float]]
) -> None:
    pixels = torch.randn(1, 3, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(0))
    where, labels = torch.tensor([[points]]), torch.ones(1, 1, len(points), dtype=torch.long)
    session = Sam3TrackerVideoInferenceSession(
        video=pixels, video_height=SIZE_PX, video_width=SIZE_PX, dtype=torch.float32
    )
    session.add_point_inputs(session.obj_id_to_idx(1), 0, {"point_coords": where, "point_labels": labels})
    session.obj_with_new_inputs = [1]
    theirs = video(inference_session=session, frame_idx=0).pred_masks
    network = Sam3Network.load(folder)
    ours = network.click(network.tracker_features(network.encode(pixels)), where, labels, multimask=len(points) == 1)
    best = int(ours.iou_BPK[0, 0].argmax())
    assert torch.equal(ours.mask_logits_BPKHW[0, 0, best], theirs[0, 0])
