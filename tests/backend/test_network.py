"""One network, two transformers models: what is shared, what a folder must hold, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer
from transformers.models.sam3.configuration_sam3 import Sam3Config
from transformers.models.sam3.modeling_sam3 import Sam3Model
from transformers.models.sam3_tracker.modeling_sam3_tracker import Sam3TrackerModel

from mlbackend.model.inputs import PromptTooLong, load_tokenizer, preprocess
from mlbackend.model.network import Sam3Network, WeightsError, tracker_config_for

SIZE_PX = 56


def tiny_config(width: int = 32) -> Sam3Config:
    """width: of everything behind the ViT."""
    small = {"hidden_size": width, "num_attention_heads": 2, "intermediate_size": 32, "num_layers": 1, "dropout": 0.0}
    return Sam3Config(
        vision_config={
            "model_type": "sam3_vision_model",
            "fpn_hidden_size": width,
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
            "backbone_config": {
                "model_type": "sam3_vit_model",
                "hidden_size": 32,
                "intermediate_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": SIZE_PX,
                "pretrain_image_size": 28,
                "window_size": 2,
                "global_attn_indexes": [1],
            },
        },
        text_config={
            "model_type": "clip_text_model",
            "vocab_size": 514,
            "hidden_size": 32,
            "intermediate_size": 32,
            "projection_dim": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 32,
            "bos_token_id": 512,
            "eos_token_id": 513,
            "pad_token_id": 513,
        },
        geometry_encoder_config=small,
        detr_encoder_config=small,
        detr_decoder_config=small | {"num_queries": 5},
        mask_decoder_config={"hidden_size": width, "num_attention_heads": 2},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A hub-layout checkpoint with random weights, the no-memory embedding included: zeros would hide its place."""
    torch.manual_seed(3)
    network = Sam3Network.from_config(tiny_config())
    torch.nn.init.normal_(network.tracker.no_memory_embedding)
    path = tmp_path_factory.mktemp("model")
    network.save(path)
    return path


@pytest.fixture(scope="module")
def network(folder) -> Sam3Network:
    return Sam3Network.load(folder)


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.randn(2, 3, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_detection_from_the_shared_pass_equals_sam3_model(folder, network, pixels):
    ids, mask = torch.randint(0, 512, (2, 32)), torch.ones(2, 32, dtype=torch.long)
    mask[1, 5:] = 0
    theirs = Sam3Model.from_pretrained(folder)(pixel_values=pixels, input_ids=ids, attention_mask=mask)
    ours = network.detect(network.detector_features(network.encode(pixels)), network.text_features(ids, mask))
    assert torch.equal(ours.mask_logits_PQHW, theirs.pred_masks)
    assert torch.equal(ours.boxes_xyxy_PQ4, theirs.pred_boxes)
    assert torch.equal(ours.query_logits_PQ, theirs.pred_logits)
    assert torch.equal(ours.presence_logits_P, theirs.presence_logits[:, 0])


@torch.inference_mode()
def test_click_from_the_shared_pass_equals_tracker_model(folder, network, pixels):
    config = tracker_config_for(tiny_config())
    tracker = Sam3TrackerModel.from_pretrained(folder, config=config).eval()
    points, labels = torch.tensor([[[[9.0, 30.0]]], [[[40.0, 12.0]]]]), torch.ones(2, 1, 1, dtype=torch.long)
    theirs = tracker(image_embeddings=tracker.get_image_embeddings(pixels), input_points=points, input_labels=labels)
    ours = network.click(network.tracker_features(network.encode(pixels)), points, labels)
    assert torch.equal(ours.mask_logits_BPKHW, theirs.pred_masks)
    assert torch.equal(ours.iou_BPK, theirs.iou_scores)


def test_one_vit_serves_both_and_is_stored_once(folder, network):
    assert network.tracker.vision_encoder.backbone is network.detector.vision_encoder.backbone
    keys = load_file(folder / "model.safetensors").keys()
    assert all(key.startswith(("detector_model.", "tracker_model.", "tracker_neck.")) for key in keys)
    assert sum("patch_embeddings.projection.weight" in key for key in keys) == 1


def test_random_network_encodes_prompts_and_positions_with_the_same_frequencies():
    tracker = Sam3Network.from_config(tiny_config()).tracker
    assert torch.equal(
        tracker.shared_image_embedding.positional_embedding,
        tracker.prompt_encoder.shared_embedding.positional_embedding,
    )


@torch.inference_mode()
def test_prompts_can_be_asked_of_chosen_images_and_masks_of_chosen_prompts(network, pixels):
    vision = network.detector_features(network.encode(pixels))
    ids, mask = torch.randint(0, 512, (3, 32)), torch.ones(3, 32, dtype=torch.long)
    rows = torch.tensor([1, 0, 1])
    text = network.text_features(ids, mask)
    together = network.detect(vision, text, image_rows_P=rows, mask_rows=torch.tensor([2]))
    alone = network.detect(network.detector_features(network.encode(pixels[1:])), text.rows(torch.tensor([2])))
    assert torch.allclose(together.query_logits_PQ[2], alone.query_logits_PQ[0], atol=1e-5)
    assert torch.allclose(together.mask_logits_PQHW[0], alone.mask_logits_PQHW[0], atol=1e-5)


def test_saved_network_loads_with_the_same_hashes(network, tmp_path):
    network.save(tmp_path)
    again = Sam3Network.load(tmp_path)
    assert again.weights_hash() == network.weights_hash()
    assert again.backbone_hash() == network.backbone_hash()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_training_a_head_keeps_the_backbone_hash_and_changes_the_other(folder):
    network = Sam3Network.load(folder)
    before = network.backbone_hash(), network.weights_hash()
    network.detector.detr_decoder.presence_head.layer3.bias.data += 1
    assert network.backbone_hash() == before[0]
    assert network.weights_hash() != before[1]


@pytest.mark.parametrize(
    "key",
    [
        "detector_model.detr_decoder.box_head.layer3.bias",
        "tracker_model.mask_decoder.iou_token.weight",
        "tracker_neck.fpn_layers.0.proj1.weight",
    ],
)
def test_missing_weight_is_an_error_that_names_it(folder, tmp_path, key):
    rewrite(folder, tmp_path, lambda tensors: tensors.pop(key))
    with pytest.raises(WeightsError, match=r"missing.*" + key.split(".", 1)[1].replace("fpn", ".*fpn")):
        Sam3Network.load(tmp_path)


def test_unexpected_weight_is_an_error_that_names_it(folder, tmp_path):
    rewrite(folder, tmp_path, lambda tensors: tensors.update({"detector_model.surprise": torch.zeros(1)}))
    with pytest.raises(WeightsError, match=r"unexpected.*surprise"):
        Sam3Network.load(tmp_path)


def test_misshapen_weight_is_an_error_that_names_it(folder, tmp_path):
    key = "detector_model.detr_decoder.presence_token.weight"
    rewrite(folder, tmp_path, lambda tensors: tensors.update({key: torch.zeros(1, 7)}))
    with pytest.raises(WeightsError, match="presence_token"):
        Sam3Network.load(tmp_path)


def test_weights_of_the_video_model_are_passed_over(folder, tmp_path):
    extra = {"tracker_model.memory_encoder.x": torch.zeros(1), "tracker_neck.fpn_layers.3.proj1.bias": torch.zeros(32)}
    rewrite(folder, tmp_path, lambda tensors: tensors.update(extra))
    assert Sam3Network.load(tmp_path).image_size_px == SIZE_PX


def test_sharded_weights_load_like_one_file(folder, network, tmp_path):
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, keys in shards.items():
        save_file({key: tensors[key] for key in keys}, tmp_path / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {key: file for file, keys in shards.items() for key in keys}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    assert Sam3Network.load(tmp_path).weights_hash() == network.weights_hash()


def test_folder_without_config_is_refused_by_name(tmp_path):
    with pytest.raises(WeightsError, match=r"no config\.json"):
        Sam3Network.load(tmp_path)


def test_truncated_weights_are_refused(folder, tmp_path):
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(WeightsError, match="cannot be loaded"):
        Sam3Network.load(tmp_path)


def test_wrong_image_size_is_refused(network):
    with pytest.raises(ValueError, match="56 x 56"):
        network.encode(torch.zeros(1, 3, 70, 70))


def test_preprocess_maps_black_and_white_to_the_ends(network):
    image = np.zeros((30, 40, 3), np.uint8)
    image[:, 20:] = 255
    pixels = preprocess(image, SIZE_PX)
    assert pixels.shape == (3, SIZE_PX, SIZE_PX)
    assert (pixels[:, :, 0] == -1).all()
    assert (pixels[:, :, -1] == 1).all()


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_preprocess_refuses_what_is_not_rgb_bytes(bad):
    with pytest.raises(ValueError, match="RGB uint8"):
        preprocess(bad, SIZE_PX)


def test_any_word_fits_and_a_long_phrase_is_refused(tmp_path):
    from training.demo.architecture import byte_vocabulary

    CLIPTokenizer(vocab=byte_vocabulary(), merges=[]).save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    ids, mask = tokenizer(["hen", "Größe 4"])
    assert ids.shape == mask.shape == (2, 32)
    assert mask[0].sum() == 5
    with pytest.raises(PromptTooLong, match="32"):
        tokenizer(["a very long phrase that goes on and on and on"])


@pytest.mark.full_size
def test_full_size_config_has_the_keys_of_the_hub():
    with torch.device("meta"):
        network = Sam3Network.from_config(Sam3Config())
    state = network.hub_state()
    assert state["tracker_model.prompt_encoder.mask_embed.conv3.weight"].shape[0] == 256
    assert state["detector_model.vision_encoder.backbone.embeddings.position_embeddings"].shape == (1, 576, 1024)
    assert 845e6 < sum(tensor.numel() for tensor in state.values()) < 860e6


def rewrite(source: Path, target: Path, change) -> None:
    tensors = load_file(source / "model.safetensors")
    change(tensors)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    (target / "config.json").write_text((source / "config.json").read_text())
