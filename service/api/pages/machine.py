"""What the page of a run says of what the run takes of its machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.api.pages.course_chart import CourseChart, use_chart


@dataclass(frozen=True)
class MachineUse:
    #: Such as `CPU 98 %, 412 MB; GPU 0 87 %, 1,203 MB`: the newest values.
    words: str
    chart: CourseChart


def machine_use(found: Mapping[str, Sequence[tuple[int, float]]]) -> MachineUse | None:
    """What a run takes, from its system metrics by their names; None without any."""
    gpus = sorted({name.split("_")[1] for name in found if name.startswith("gpu_")}, key=int)
    names = {"CPU": ("cpu_utilization_percentage", "process_memory_usage_megabytes")} | {
        f"GPU {gpu}": (f"gpu_{gpu}_utilization_percentage", f"gpu_{gpu}_memory_usage_megabytes")
        for gpu in gpus
    }
    percent = {whose: found[use] for whose, (use, _) in names.items() if use in found}
    if not percent:
        return None
    words = []
    for whose, of_it in names.items():
        newest = [
            f"{found[name][-1][1]:,.0f} {unit}"
            for name, unit in zip(of_it, ("%", "MB"), strict=True)
            if name in found
        ]
        words.append(f"{whose} {', '.join(newest)}")
    return MachineUse("; ".join(words), use_chart(percent))
