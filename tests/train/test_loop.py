"""Training: it learns, it resumes exactly, it stops where it should and says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from clean import RECIPE, backbone, pool, work

from restore import planes
from restore.errors import TrainError
from restore.nets.files import load_model
from restore.nets.plain import PlainSR
from restore.resources import models_dir
from restore.train import loop
from restore.train.loop import learning_rate, train
from restore.train.losses import objective
from restore.train.recipe import Optim, read_recipe
from restore.train.shards import make_shards, read_shards
from restore.train.validation import Scores, validate


def test_weights_card_and_checkpoint_are_written(root: Path, tmp_path: Path) -> None:
    said: list[str] = []
    card = train(
        root / "tiny.toml", tmp_path, progress=said.append, work_dir=work(root, tmp_path / "w")
    )
    net, read = load_model(tmp_path / "tiny.safetensors")
    assert read == card
    assert (card.iterations, card.recipe, net.channels) == (12, "recipes/tiny.toml", 4)
    assert card.command == "restore train recipes/tiny.toml"
    assert {"held-out clean", "held-out mpeg1", "held-out rv20", "held-out mean"} <= set(
        card.scores
    )
    assert "3 sources (2 animated stills, 1 clips)" in card.data
    assert said[0].startswith("12 training samples, 10 held out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny.safetensors", "tiny.toml", "w"]


ALL_LOSSES = """
[loss]
l1 = 0.5
charbonnier = { weight = 1, end = 0.6 }
mse = { weight = 20, start = 0.5 }
fft = 0.1
tv = 1e-3
perceptual = { weight = 0.01, start = 0.2 }
adversarial = { weight = 0.01, start = 0.3 }
backbone = "BACKBONE"
discriminator_channels = 4
"""


MUON = RECIPE.replace("channels = 4", "channels = 16\nbranches = false").replace(
    "[optim]", '[optim]\noptimiser = "muon"\ncandidates = 3'
)

TIED = MUON.replace("branches = false", "branches = false\nsymmetric = true")


@pytest.mark.parametrize(
    ("text", "losses"),
    [(RECIPE, ""), (RECIPE, ALL_LOSSES), (MUON, ""), (TIED, "")],
    ids=["default", "every loss", "muon on the hardest patches", "tied weights"],
)
def test_an_interrupted_run_gives_the_same_checkpoint(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, losses: str
) -> None:
    recipe = tmp_path / "r.toml"
    text = text.replace("iterations = 12", "iterations = 24\npatience = 9")
    text = text.replace("every = 100", "every = 7").replace("\ncrop = 16", "\ncrop = 24")
    recipe.write_text(text + losses.replace("BACKBONE", str(backbone(tmp_path))))
    whole, broken = work(root, tmp_path / "whole"), work(root, tmp_path / "broken")
    train(recipe, tmp_path / "a", work_dir=whole)
    steps = 0

    def failing(*arguments: object) -> object:
        nonlocal steps
        steps += 1
        if steps == 12:
            raise KeyboardInterrupt
        return original(*arguments)

    original = loop.patches
    monkeypatch.setattr(loop, "patches", failing)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "b", work_dir=broken)
    said: list[str] = []
    train(recipe, tmp_path / "b", work_dir=broken, progress=said.append)
    assert said[1].startswith("resumed at iteration 11")
    assert (tmp_path / "a" / "tiny.safetensors").read_bytes() == (
        tmp_path / "b" / "tiny.safetensors"
    ).read_bytes()
    one, two = (torch.load(w / "checkpoint.pt", weights_only=True) for w in (whole, broken))
    assert bool(losses) == ("adversary" in one)
    differ = [key for key in one if not same(timeless(one[key]), timeless(two[key]))]
    assert differ == ["seconds"]


def timeless(value: Any) -> Any:
    """Without the clock's readings."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k != "seconds"}
    return [timeless(v) for v in value] if isinstance(value, list | tuple) else value


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit, through dictionaries and lists."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def test_a_kill_while_validating_loses_no_validation(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint comes after the look: a run that stops in between looks again."""
    recipe = tmp_path / "r.toml"
    recipe.write_text(RECIPE.replace("every = 100", "every = 5"))
    folder = work(root, tmp_path / "w")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "validate", killed)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path, work_dir=folder)
    train(recipe, tmp_path, work_dir=folder)
    looks = torch.load(folder / "checkpoint.pt", weights_only=True)["looks"]
    assert [look["iteration"] for look in looks] == [5, 10, 12]


def test_a_run_that_gains_no_more_stops_and_ships_its_best(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        RECIPE.replace("iterations = 12", "iterations = 60\npatience = 3\nsnapshots = 2").replace(
            "every = 100", "every = 4"
        )
    )
    means = iter([0.1, 0.3, 0.2, 0.3, 0.1])
    monkeypatch.setattr(
        loop, "validate", lambda *_: Scores({"held-out mean": next(means)}, 31.0, 30.0)
    )
    folder, said = work(root, tmp_path / "w"), list[str]()
    card = train(recipe, tmp_path, work_dir=folder, progress=said.append)
    assert card.iterations == 8
    assert card.scores == {"held-out mean": 0.3}
    assert "20 it: no gain in 3 validations; the best was at 8 it" in said
    kept = sorted(p.name for p in (folder / "snapshots").glob("*.safetensors"))
    assert kept == ["tiny-0000008.safetensors", "tiny-0000016.safetensors"]
    best, _ = load_model(folder / "snapshots" / kept[0])
    shipped, _ = load_model(tmp_path / "tiny.safetensors")
    assert same(best.state_dict(), shipped.state_dict())
    # The same command does not start again; it writes the same.
    assert train(recipe, tmp_path, work_dir=folder) == card


def test_a_full_disk_keeps_the_last_good_checkpoint(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = work(root, tmp_path / "w")
    written, whole = 0, Path.write_bytes

    def filling(self: Path, data: bytes) -> int:
        nonlocal written
        written += len(data)
        if written > 60_000:
            whole(self, data[:100])
            raise OSError(28, "No space left on device")
        return whole(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", filling)
        with pytest.raises(
            TrainError, match=r"checkpoint.pt: cannot be written: No space left"
        ) as e:
            train(root / "tiny.toml", tmp_path, work_dir=folder)
    assert "make room" in str(e.value)
    assert sorted(p.name for p in folder.iterdir()) == ["checkpoint.pt", "shards"]
    assert 0 < torch.load(folder / "checkpoint.pt", weights_only=True)["iteration"] < 12
    assert train(root / "tiny.toml", tmp_path, work_dir=folder).iterations == 12


def test_checkpoints_of_older_versions_go_on(root: Path, tmp_path: Path) -> None:
    folder = work(root, tmp_path / "w")
    train(root / "tiny.toml", tmp_path / "a", work_dir=folder)
    path = folder / "checkpoint.pt"
    content = torch.load(path, weights_only=True)
    for key in ("loss_sum", "looks", "best"):
        del content[key]
    torch.save(content, path)
    card = train(root / "tiny.toml", tmp_path / "b", work_dir=folder)
    assert card.iterations == 12
    assert card.scores["held-out mean"]


def test_a_written_out_default_loss_trains_the_same(root: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        RECIPE
        + "[loss]\ncharbonnier = { weight = 1, end = 0.85 }\nmse = { weight = 20, start = 0.85 }\n"
    )
    train(root / "tiny.toml", tmp_path / "a", work_dir=work(root, tmp_path / "w1"))
    train(recipe, tmp_path / "b", work_dir=work(root, tmp_path / "w2"))
    one, two = (tmp_path / name / "tiny.safetensors" for name in "ab")
    assert one.read_bytes() == two.read_bytes()


def test_it_learns(root: Path) -> None:
    """A few patches, learnt by heart: beyond Lanczos, in both loss phases."""
    recipe = read_recipe(root / "tiny.toml")
    state = loop.start(recipe, torch.device("cpu"))
    optim = Optim(batch=4, crop=16, rate=5e-3, warm_up=10, ema=0.9)
    low, high = loop.patches(
        read_shards(root / "shards", "train"), optim, 0, 2, torch.device("cpu")
    )
    recipe = recipe.model_copy(update={"optim": optim})
    losses = objective(recipe, torch.device("cpu"))
    gains = []
    for done in [0.3] * 150 + [0.9] * 50:
        gains.append(loop.step(state, low, high, recipe, losses, done)[1])
        state.iteration += 1
    assert abs(gains[0]) < 0.5, "an untrained network adds next to nothing"
    assert gains[150] > 0.7
    assert gains[-1] > gains[150], "squared error is what PSNR measures"
    # The average follows, behind the weights but with them.
    base = planes.resample(low, (32, 32))
    with torch.no_grad():
        error = (base + state.average.fold()(low) - high)[..., 4:-4, 4:-4].square().mean()
    assert error < 0.9 * (base - high)[..., 4:-4, 4:-4].square().mean()


def test_a_run_can_start_from_shipped_weights(root: Path, tmp_path: Path) -> None:
    train(root / "tiny.toml", tmp_path, work_dir=work(root, tmp_path / "w"))
    net, _ = load_model(tmp_path / "tiny.safetensors")
    recipe = tmp_path / "second.toml"
    recipe.write_text(RECIPE.replace('"tiny"', f'"second"\ninit = "{tmp_path}/tiny.safetensors"'))
    state = loop.start(read_recipe(recipe), torch.device("cpu"))
    x = torch.rand(1, 1, 12, 12)
    with torch.no_grad():
        assert (state.net(x) - net(x)).abs().max() < 1e-5
    text = recipe.read_text()
    larger = 'channels = 12\ncondition = ["quantiser"]'
    recipe.write_text(text.replace("channels = 4", larger).replace("blocks = 1", "blocks = 3"))
    state = loop.start(read_recipe(recipe), torch.device("cpu"))
    with torch.no_grad():
        assert (state.net(torch.cat([x, x], 1)) - net(x)).abs().max() < 1e-5
    recipe.write_text(text.replace("blocks = 1", "blocks = 1\nscale = 3"))
    with pytest.raises(
        TrainError,
        match=r"\[network\]: init: expected plain at most 4 x 1, x3, luma, got tiny: plain 4 x 1, x2",
    ):
        loop.start(read_recipe(recipe), torch.device("cpu"))
    recipe.write_text(
        text.replace("tiny.safetensors", "film_x2_fast.safetensors").replace(
            str(tmp_path), str(models_dir())
        )
    )
    with pytest.raises(
        TrainError, match=r"\[network\]: init: film_x2_fast: channels: expected at most 4, got 32"
    ):
        loop.start(read_recipe(recipe), torch.device("cpu"))


@pytest.mark.parametrize(
    ("architecture", "blocks"), [("vdsr", 1), ("srresnet", 1), ("edsr", 1), ("srcnn_955", 1)]
)
def test_other_networks_learn_ship_and_go_on(
    root: Path, tmp_path: Path, architecture: str, blocks: int
) -> None:
    recipe = tmp_path / "r.toml"
    shape = f'architecture = "{architecture}"\nblocks = {blocks}\n'
    recipe.write_text(
        RECIPE.replace("blocks = 1\n", shape).replace("iterations = 12", "iterations = 3")
    )
    card = train(recipe, tmp_path, work_dir=work(root, tmp_path / "w"))
    net, _ = load_model(tmp_path / "tiny.safetensors")
    assert (card.architecture, card.iterations) == (architecture, 3)
    again = read_recipe(recipe)
    network = again.network.model_copy(update={"init": str(tmp_path / "tiny.safetensors")})
    state = loop.start(again.model_copy(update={"network": network}), torch.device("cpu"))
    assert all(torch.equal(v, state.net.state_dict()[k]) for k, v in net.state_dict().items())
    # A few patches by heart: what is predicted moves towards the truth.
    optim = Optim(batch=4, crop=16, rate=3e-3, warm_up=5)
    again = again.model_copy(update={"optim": optim})
    losses = objective(again, torch.device("cpu"))
    low, high = loop.patches(
        read_shards(root / "shards", "train"), optim, 0, 2, torch.device("cpu")
    )
    gains = []
    for _ in range(25):
        gains.append(loop.step(state, low, high, again, losses, 0.3)[1])
        state.iteration += 1
    assert gains[-1] > gains[0] + 0.01


def test_an_impossible_network_is_told(root: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(RECIPE.replace("blocks = 1\n", 'architecture = "srcnn_915"\nblocks = 3\n'))
    with pytest.raises(
        TrainError, match=r"\[network\]: architecture srcnn_915: blocks: expected 1"
    ):
        train(recipe, tmp_path, work_dir=work(root, tmp_path / "w"))


def test_weights_that_are_not_finite_never_replace_a_good_checkpoint(
    root: Path, tmp_path: Path
) -> None:
    recipe = read_recipe(root / "tiny.toml")
    state = loop.start(recipe, torch.device("cpu"))
    path = tmp_path / "checkpoint.pt"
    loop.save_checkpoint(path, state, recipe)
    good = path.read_bytes()
    with torch.no_grad():
        state.net.tail.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(TrainError, match="last good checkpoint is kept: lower"):
        loop.save_checkpoint(path, state, recipe)
    assert path.read_bytes() == good


def test_a_loss_that_is_not_finite_stops_the_run(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        RECIPE.replace("iterations = 12", "iterations = 60").replace("seconds = 0", "seconds = 60")
    )
    monkeypatch.setattr(loop, "step", lambda *_: (torch.tensor(float("nan")), 0.0))
    with pytest.raises(TrainError, match="the loss became nan before iteration 50"):
        train(recipe, tmp_path, work_dir=work(root, tmp_path / "w"))


def test_a_checkpoint_of_another_optimiser_is_refused(root: Path, tmp_path: Path) -> None:
    recipe, folder = tmp_path / "r.toml", work(root, tmp_path / "w")
    recipe.write_text(RECIPE.replace("channels = 4", "channels = 16"))
    train(recipe, tmp_path, work_dir=folder)
    recipe.write_text(recipe.read_text().replace("[optim]", '[optim]\noptimiser = "muon"'))
    with pytest.raises(TrainError, match="of another optimiser than 'muon'"):
        train(recipe, tmp_path, work_dir=folder)


def test_a_checkpoint_of_another_network_is_refused(root: Path, tmp_path: Path) -> None:
    folder = work(root, tmp_path / "w")
    train(root / "tiny.toml", tmp_path, work_dir=folder)
    other = tmp_path / "other.toml"
    other.write_text(RECIPE.replace("blocks = 1", "blocks = 2"))
    with pytest.raises(TrainError, match="expected a checkpoint of"):
        train(other, tmp_path, work_dir=folder)
    (folder / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(TrainError, match="damaged checkpoint"):
        train(root / "tiny.toml", tmp_path, work_dir=folder)


def test_without_minutes_left_the_checkpoint_is_written_out(root: Path, tmp_path: Path) -> None:
    folder = work(root, tmp_path / "w")
    train(root / "tiny.toml", tmp_path / "a", work_dir=folder)
    card = train(root / "tiny.toml", tmp_path / "b", 0, work_dir=folder)
    assert card.iterations == 12
    assert (tmp_path / "a" / "tiny.safetensors").read_bytes() == (
        tmp_path / "b" / "tiny.safetensors"
    ).read_bytes()


def test_patches_pair_up_and_depend_on_the_iteration_alone(root: Path) -> None:
    pairs = read_shards(root / "shards", "train")
    optim = Optim(batch=4, crop=16)
    low, high = loop.patches(pairs, optim, 3, 2, torch.device("cpu"))
    assert low.shape == (4, 1, 16, 16)
    assert high.shape == (4, 1, 32, 32)
    again = loop.patches(pairs, optim, 3, 2, torch.device("cpu"))
    assert torch.equal(low, again[0])
    assert not torch.equal(low, loop.patches(pairs, optim, 4, 2, torch.device("cpu"))[0])
    # Turned together: the truth averaged over 2x2 looks like the input, and like no flip of it.
    small = torch.nn.functional.avg_pool2d(high, 2)
    assert (small - low).square().mean() < 0.2 * (small - low.flip(-1)).square().mean()
    assert (small - low).square().mean() < 0.2 * (small - low.mT).square().mean()


def test_of_the_candidates_the_hardest_is_taken(root: Path) -> None:
    pairs = read_shards(root / "shards", "train")
    optim = Optim(batch=4, crop=16, margin=2)
    device = torch.device("cpu")

    def drawn(batch: int, candidates: int) -> tuple[torch.Tensor, torch.Tensor]:
        wanted = optim.model_copy(update={"batch": batch, "candidates": candidates})
        return loop.patches(pairs, wanted, 3, 2, device)

    low, high = drawn(4, 3)
    every_low, every_high = drawn(12, 1)
    error = (every_high - planes.resample(every_low, (32, 32)))[..., 4:-4, 4:-4]
    worst = (error**2).mean((1, 2, 3)).view(4, 3).argmax(1) + torch.tensor([0, 3, 6, 9])
    assert torch.equal(low, every_low[worst])
    assert torch.equal(high, every_high[worst])


def test_the_schedule_warms_up_and_ends_near_zero() -> None:
    optim = Optim(rate=1e-3, warm_up=100)
    assert learning_rate(optim, 0, 0.0) == pytest.approx(1e-5, rel=0.02)
    assert learning_rate(optim, 100, 0.0) == pytest.approx(1e-3)
    assert learning_rate(optim, 5000, 0.5) == pytest.approx(0.5e-3, rel=0.01)
    assert learning_rate(optim, 9999, 1.0) == pytest.approx(1e-6)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, recipe and pairs of the same size, mostly damaged."""
    root = tmp_path_factory.mktemp("deblock")
    chain = (
        "[degrade]\nblur_share = 0\nsharpen_share = 0\ngrain_share = 0\nkernels = { bicubic = 1 }\n"
    )
    path = pool(root, RECIPE.replace("blocks = 1", "blocks = 1\nscale = 1") + chain)
    make_shards(read_recipe(path), root, root / "shards", workers=1)
    return root


def test_a_network_that_does_not_enlarge_is_measured_over_its_input(
    small: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    folder = work(small, tmp_path / "w")
    card = train(small / "tiny.toml", tmp_path, work_dir=folder, progress=said.append)
    assert card.scale == 1
    assert "held-out clean" not in card.scores, "no gain over what is right already"
    assert 30 < card.scores["undamaged input, PSNR left"] <= 99
    assert {"held-out mpeg1", "held-out rv20"} <= set(card.scores)
    assert any("held-out gain over the input, dB: " in line for line in said)
    assert any(line.endswith("dB are left") for line in said)
    page = (folder / "report.html").read_text()
    assert "gain over the input, dB" in page
    assert "Lanczos" not in page.split("<h2>Recipe</h2>")[0]
    # It starts from the input, not from something else.
    assert abs(card.scores["held-out mpeg1"]) < 3


def test_a_residual_of_nothing_is_the_input(small: Path) -> None:
    held = read_shards(small / "shards", "val")
    shape = read_recipe(small / "tiny.toml").network
    net = PlainSR(4, 1, 1)
    with torch.no_grad():
        net.tail.weight.zero_()
    scores = validate(net, held, shape, torch.device("cpu"))
    assert set(scores.gains.values()) == {0.0}
    assert scores.kept == 99
    assert scores.psnr == scores.lanczos < 60
