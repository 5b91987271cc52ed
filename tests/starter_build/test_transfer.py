"""To another machine and back: pieces, the language expert's blocks by hand, and a build's parts."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pipelines.starter_build import transfer
from pipelines.starter_build.build_loop import read_state


def test_pieces_are_joined_again_and_missing_ones_are_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(transfer, "PIECE_BYTES", 10)
    files = transfer.write_pieces(bytes(range(25)), tmp_path, "thing", {"layers": 3})
    assert [file.name for file in files] == ["thing.00", "thing.01", "thing.02", "thing.manifest.json"]
    assert max(file.stat().st_size for file in files[:3]) == 10
    data, about = transfer.read_pieces(tmp_path, "thing")
    assert data == bytes(range(25)) and about["layers"] == 3
    (tmp_path / "thing.01").rename(tmp_path / "elsewhere")
    with pytest.raises(transfer.TransferError, match=r"lacks thing\.01"):
        transfer.read_pieces(tmp_path, "thing")
    (tmp_path / "thing.01").write_bytes(b"0123456789")
    with pytest.raises(transfer.TransferError, match="not those of their manifest"):
        transfer.read_pieces(tmp_path, "thing")


def test_blocks_are_decoded() -> None:
    scale = np.float16(0.5).tobytes()
    q8 = np.frombuffer(scale + np.arange(-16, 16, dtype=np.int8).tobytes(), np.uint8)
    assert transfer.dequantize(q8, "Q8_0").flatten().tolist() == [0.5 * value for value in range(-16, 16)]
    nibbles = bytes(low | ((15 - low) << 4) for low in range(16))  # 0..15 below, 15..0 above
    q4 = np.frombuffer(scale + np.float16(-2).tobytes() + nibbles, np.uint8)
    wanted = [0.5 * value - 2 for value in (*range(16), *range(15, -1, -1))]
    assert transfer.dequantize(q4, "Q4_1").flatten().tolist() == wanted
    with pytest.raises(transfer.TransferError, match="Q5_K"):
        transfer.dequantize(q4, "Q5_K")


def test_what_was_trained_elsewhere_lands_in_a_build_folder(tmp_path) -> None:
    out = tmp_path / "there"
    (out / "tokenizer" / "tokenizer").mkdir(parents=True)
    (out / "tokenizer" / "tokenizer" / "config.json").write_text("{}")
    (out / "tokenizer.json").write_text(json.dumps({"steps": 3}))
    (out / "picture").mkdir()
    state = {
        "picture": {"weight": torch.rand(4, 4)},
        "optimiser": {"state": {}},
        "step": 5,
        "spent": 2.0,
        "mean": 1.0,
        "more": {"place": 9},
    }
    torch.save(state, out / "picture" / "picture.pt")
    files = transfer.export_build(out, tmp_path / "pieces")
    assert [file.name for file in files] == ["build.00", "build.manifest.json"]
    home = tmp_path / "home"
    assert "picture/picture.pt" in transfer.import_build(tmp_path / "pieces", home)
    landed = read_state(home / "picture" / "picture.pt")
    assert "optimiser" not in landed and (landed["step"], landed["more"]["place"]) == (5, 9)
    assert torch.allclose(landed["picture"]["weight"].float(), state["picture"]["weight"], atol=4e-3)
    assert (home / "tokenizer" / "tokenizer" / "config.json").exists()
    assert json.loads((home / "tokenizer.json").read_text()) == {"steps": 3}
