"""What prompted masks cost: flawscribe's encoders beside the plain loop over transformers' SamModel and SamPredictor.

    python scripts/bench_segment.py
    python scripts/bench_segment.py --images 2 --prompts 8

All have the same random weights (made here, nothing is fetched), the same pictures and the same boxes, and give mask
logits at each picture's own size. Each row of the table is a process of its own, one after the other; the largest
difference of its logits from the plain loop's is the last column. The plain loop calls processor and model for every
box, as the model's page shows, and so encodes a picture with eight boxes eight times; "embedding kept" encodes it
once and calls the decoder for every box. Without a GPU ViT-B on the processor; with one ViT-B, L and H there, ours
in bfloat16 as well, beside what the GPU's matrix multiplication in bfloat16 would allow.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

ROWS = ("plain loop", "embedding kept", "SamPredictor", "flawscribe", "flawscribe bf16")
SIZES = ((1024, 768), (768, 1024), (900, 900), (1600, 1000))  # width, height


def pictures(n: int) -> list[Image.Image]:
    """Random patches of several sizes."""
    rng = np.random.default_rng(0)
    small = (Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)) for _ in range(n))
    return [s.resize(SIZES[i % len(SIZES)], Image.Resampling.BICUBIC) for i, s in enumerate(small)]


def boxes(image: Image.Image, n: int) -> np.ndarray:
    """Boxes (n, 4) as x0, y0, x1, y1 in pixels of the picture."""
    corners = np.random.default_rng(image.width).uniform(0, 1, (n, 2, 2))
    return (np.sort(corners, axis=1) * image.size).reshape(n, 4)


def make_weights(arch: str, folder: Path) -> None:
    """Random weights of an architecture in Meta's layout (sam.pth) and, converted, in transformers' (sam/)."""
    from segment_anything import sam_model_registry

    from segment.encoders import load_encoder

    torch.manual_seed(0)
    sam = sam_model_registry[arch]()
    with torch.no_grad():
        for name, value in sam.named_parameters():
            if "pos" in name:  # SAM begins with zeros there, which would cost as much and tell nothing
                value.normal_(std=0.1)
            elif "hypernetworks" in name or "upscaling" in name:
                value.mul_(3)  # logits in the tens, as trained weights give
    torch.save(sam.state_dict(), folder / "sam.pth")
    load_encoder(str(folder / "sam.pth")).model.save_pretrained(folder / "sam")  # type: ignore[union-attr, operator]


def plain_loop(folder: Path, device: str, _: int, keep: bool = False) -> Any:
    """As a user would write it with transformers; with `keep` a picture is encoded once."""
    from transformers import SamModel, SamProcessor
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    model = SamModel.from_pretrained(folder / "sam").to(device).eval()
    # Pillow's resizing, as Meta's: torchvision's rounds otherwise, and the logits could not be compared.
    processor = SamProcessor(SamImageProcessorPil())

    @torch.no_grad()
    def ask(image: Image.Image, box: list[float], known: dict[str, Any]) -> np.ndarray:
        inputs = processor(image, input_boxes=[[box]], return_tensors="pt").to(device)
        picture = known or {"pixel_values": inputs["pixel_values"].float()}
        out = model(**picture, input_boxes=inputs["input_boxes"].float(), multimask_output=False)
        (masks,) = processor.image_processor.post_process_masks(
            out.pred_masks.cpu(), inputs["original_sizes"], inputs["reshaped_input_sizes"], binarize=False
        )
        return masks[0, 0].numpy()

    def run(images: list[Image.Image], prompts: int) -> Iterator[np.ndarray]:
        for image in images:
            known = {}
            if keep:
                pixels = processor(image, return_tensors="pt")["pixel_values"].float()
                known = {"image_embeddings": model.get_image_embeddings(pixels.to(device))}
            yield np.stack([ask(image, box, known) for box in boxes(image, prompts).tolist()])

    return run


def embedding_kept(folder: Path, device: str, batch: int) -> Any:
    """The same by a user who knows that the embedding can be kept."""
    return plain_loop(folder, device, batch, keep=True)


def sam_predictor(folder: Path, device: str, _: int) -> Any:
    """Meta's own."""
    from segment_anything import SamPredictor, sam_model_registry

    sam = sam_model_registry[json.loads((folder / "arch.json").read_text())]()
    sam.load_state_dict(torch.load(folder / "sam.pth", weights_only=True))
    predictor = SamPredictor(sam.to(device))

    def run(images: list[Image.Image], prompts: int) -> Iterator[np.ndarray]:
        for image in images:
            predictor.set_image(np.asarray(image))
            found = [
                predictor.predict(box=box, multimask_output=False, return_logits=True)[0][0]
                for box in boxes(image, prompts)
            ]
            yield np.stack(found)

    return run


def flawscribe(folder: Path, device: str, batch: int, dtype: torch.dtype = torch.float32) -> Any:
    """Frames in batches, all boxes of a batch's pictures at once."""
    from segment.encoders import frame, frame_points, load_encoder, unframe

    encoder = load_encoder(str(folder / "sam"), device)
    encoder.model.vision_encoder.to(dtype)  # type: ignore[union-attr, operator]
    decoder = encoder.decoder()

    def run(images: list[Image.Image], prompts: int) -> Iterator[np.ndarray]:
        for start in range(0, len(images), batch):
            part = images[start : start + batch]
            frames, taken = zip(*(frame(i, encoder) for i in part), strict=True)
            sizes = [(i.height, i.width) for i in part]
            asked = [
                frame_points(torch.from_numpy(boxes(i, prompts)), t, s)
                for i, t, s in zip(part, taken, sizes, strict=True)
            ]
            features = encoder.features(torch.stack(frames).to(device))
            logits, _ = decoder.masks(features, boxes=torch.stack(asked).to(device))
            for mask, t, s in zip(logits[:, :, 0].cpu(), taken, sizes, strict=True):
                yield unframe(mask, t, s).numpy()

    return run


def flawscribe_bf16(folder: Path, device: str, batch: int) -> Any:
    """The same with the image encoder in bfloat16."""
    return flawscribe(folder, device, batch, torch.bfloat16)


METHODS = dict(
    zip(ROWS, (plain_loop, embedding_kept, sam_predictor, flawscribe, flawscribe_bf16), strict=True)
)


def memory(key: str) -> float:
    """A figure of this process's memory in MB: VmRSS now, VmHWM at its peak."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(key))
    return int(line.split()[1]) / 1024


def measure(args: argparse.Namespace) -> None:
    """One row, in this process: its figures as JSON on stdout, its logits in a file."""
    torch.set_num_threads(args.threads)
    cuda = args.device.startswith("cuda")
    run = METHODS[args.row](args.work, args.device, args.batch)
    images = pictures(args.images)
    if cuda:  # the first pictures choose kernels
        list(run(images[: args.batch], args.prompts[0]))
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # begin the peak anew
    before = torch.cuda.memory_allocated() / 2**20 if cuda else memory("VmRSS")
    began, cpu = time.perf_counter(), time.process_time()
    found = list(run(images, args.prompts[0]))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = torch.cuda.max_memory_allocated() / 2**20 if cuda else memory("VmHWM")
    # Pixels enough to compare, and no file of gigabytes.
    kept = {str(i): masks[:, ::4, ::4] for i, masks in enumerate(found)}
    np.savez(args.work / f"{args.row}.npz", **kept)
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak, "over": peak - before}))


def flops(folder: Path) -> float:
    """Floating-point operations of the image encoder on one frame, counted by torch on the meta device."""
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import SamConfig, SamModel

    with torch.device("meta"):
        model = SamModel(SamConfig.from_pretrained(folder / "sam"))
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.vision_encoder(torch.zeros(1, 3, 1024, 1024))
    return counter.get_total_flops()


def matrix_rate(device: str, dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product, the best of five."""
    side = 8192 if device.startswith("cuda") else 2048
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        began = time.perf_counter()
        a @ b
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


def difference(folder: Path, row: str) -> tuple[float, float]:
    """The largest difference of a row's logits from the plain loop's, and the largest logit of the latter."""
    with np.load(folder / f"{row}.npz") as ours, np.load(folder / f"{ROWS[0]}.npz") as plain:
        gap = max(float(np.abs(ours[k] - plain[k]).max()) for k in plain)
        return gap, max(float(np.abs(plain[k]).max()) for k in plain)


def table(args: argparse.Namespace, arch: str, folder: Path) -> None:
    """Measure and print all rows of an architecture."""
    cuda = args.device.startswith("cuda")
    work, rate = flops(folder), matrix_rate(args.device, torch.bfloat16 if cuda else torch.float32)
    limit = rate / work
    kind = "bfloat16" if cuda else "float32"
    print(
        f"\n{arch}: {work / 1e12:.2f} TFLOP a picture; {kind} matrices at {rate / 1e12:.2f} TFLOP/s: ", end=""
    )
    print(f"{limit:.2f} images/s at most")
    heads = (
        "prompts",
        "s/image",
        "CPU s/im",
        "images/s",
        "x plain",
        "of limit",
        "peak MB",
        "over",
        "max diff",
    )
    print(f"{'':<17}" + "".join(f"{h:>9}" for h in heads), flush=True)
    for prompts in args.prompts:
        plain = used = 0.0
        for row in ROWS if cuda else ROWS[:-1]:
            if row == "embedding kept" and prompts == 1:
                continue  # the same
            command = [
                sys.executable,
                __file__,
                "--row",
                row,
                "--work",
                str(folder),
                "--prompts",
                str(prompts),
            ]
            command += [
                "--images",
                str(args.images),
                "--batch",
                str(args.batch),
                "--threads",
                str(args.threads),
            ]
            command += ["--device", args.device]
            runs = []
            for _ in range(args.repeats):
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                runs.append(json.loads(done.stdout.splitlines()[-1]))
            mid = {key: statistics.median(r[key] for r in runs) for key in runs[0]}
            rate = args.images / mid["seconds"]
            plain, used = plain or rate, used or mid["cpu"]
            gap, top = difference(folder, row)
            cells = (f"{prompts}", f"{mid['seconds'] / args.images:.2f}", f"{mid['cpu'] / args.images:.2f}")
            cells += (f"{rate:.3f}", f"{rate / plain:.2f}", f"{used / mid['cpu']:.2f}", f"{rate / limit:.2f}")
            cells += (f"{mid['peak']:.0f}", f"{mid['over']:.0f}", f"{gap:.1e}")
            print(f"{row:<17}" + "".join(f"{c:>9}" for c in cells), flush=True)
    print(f"largest logit of the plain loop: {top:.1f}")


def main() -> None:
    """Print the tables."""
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--images", type=int, default=64 if cuda else 4, help="pictures (default 4; on a GPU 64)"
    )
    parser.add_argument(
        "--prompts", type=int, nargs="+", default=[1, 8], help="boxes a picture (default 1 8)"
    )
    parser.add_argument("--arch", nargs="+", default=["vit_b", "vit_l", "vit_h"] if cuda else ["vit_b"])
    parser.add_argument("--batch", type=int, default=8 if cuda else 2, help="ours (default 2; on a GPU 8)")
    parser.add_argument(
        "--repeats", type=int, default=3 if cuda else 1, help="medians of (default 1; on a GPU 3)"
    )
    parser.add_argument("--device", default="cuda" if cuda else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="processor cores to use (default 1)")
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.row:
        measure(args)
        return
    where = torch.cuda.get_device_name() if cuda else f"{args.threads} thread(s)"
    print(
        f"{args.images} pictures of {', '.join(f'{w} x {h}' for w, h in SIZES)}, {where}, batch {args.batch}"
    )
    for arch in args.arch:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "arch.json").write_text(json.dumps(arch))
            make_weights(arch, folder)
            table(args, arch, folder)


if __name__ == "__main__":
    main()
