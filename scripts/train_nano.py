"""Train nano from scratch on drawn scenes and write its weights.

    python scripts/train_nano.py --work /tmp/nano --out nano/weights

Goes on from the last checkpoint in --work when it is started again; `tower.jsonl` and `vlm.jsonl` there are the logs,
OUT/learning.png their curves, and the table at the end their last lines. It runs on a GPU where there is one. On two
processor cores it takes three and a half hours; MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=4000000000 in the environment
saves a sixth of that with glibc, which else hands every large tensor's memory back at once. Memory stays under 3 GB.
"""

import argparse
import sys
from pathlib import Path

import torch

from flawscribe.errors import SetupError
from nano.curves import plot, table
from nano.save import save_vlm
from nano.thresholds import choose_thresholds
from nano.train_tower import train_tower
from nano.train_vlm import train_vlm
from segment.checkpoint import save_head


def main() -> None:
    """Read the arguments; what cannot be done is one line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and logs")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights: head/ and vlm/")
    parser.add_argument(
        "--tower-steps",
        type=int,
        nargs="+",
        default=[3200, 2800, 2400],
        help="steps of 42 pictures in each cycle of the rate (default 3200 2800 2400); a further number goes on",
    )
    parser.add_argument("--vlm-steps", type=int, default=1900, help="steps of 56 rows (default 1900)")
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="cpu or cuda (default: what is there)",
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that draw (default 1)")
    parser.add_argument("--threads", type=int, default=1, help="threads that train on a CPU (default 1)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    try:
        train(args)
    except SetupError as e:
        sys.exit(f"train_nano: {e}")


def train(args: argparse.Namespace) -> None:
    """Stage 1, thresholds, stage 2, weights."""
    head = train_tower(args.work, args.tower_steps, args.device, args.workers).eval()
    choose_thresholds(head)
    save_head(head, args.out / "head")
    vlm, tokenizer = train_vlm(head, args.work, args.vlm_steps, args.device, args.workers)
    save_vlm(vlm.cpu(), tokenizer, args.out / "vlm")
    plot(args.work, args.out / "learning.png")
    print(table(args.work))


if __name__ == "__main__":
    main()
