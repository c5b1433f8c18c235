"""The callback of Lightning that `docs/own-training.md` shows."""

import subprocess
import sys
from pathlib import Path

DOCUMENT = Path(__file__).parents[3] / "docs" / "own-training.md"

#: A user's module and training, around the callback. It runs in a process of its own, because
#: Lightning warns of itself and our tests take warnings for errors.
PROGRAM = """
import lightning, polar, torch

{callback}

class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = torch.nn.Linear(64, 6), torch.nn.Linear(3, 64)

    def encode(self, images):
        mean, log_var = self.encoder(images).chunk(2, dim=1)
        return mean, log_var.exp()

    def training_step(self, images, _):
        return (self.decoder(self.encode(images)[0]) - images).square().mean()

    def validation_step(self, images, _):
        pass

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())

images = torch.utils.data.DataLoader(torch.rand(200, 64), batch_size=50)
callback = Latents(torch.rand(100, 64))
quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False)
trainer = lightning.Trainer(max_epochs=3, accelerator="cpu", callbacks=[callback], **quiet)
trainer.fit(Module(), images, images)
table = callback.watch.table
print(*table["step"], *table["latent"], *table["epoch"], sep=",")
"""


def test_the_callback_measures_after_every_epoch(tmp_path: Path) -> None:
    after_the_title = DOCUMENT.read_text().partition("## Lightning")[2]
    callback = after_the_title.partition("```python\n")[2].partition("```")[0]

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(callback=callback)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    steps, latents, epochs = [0, 4, 8, 12], [0, 1, 2] * 4, [0.0, 0.0, 1.0, 2.0]
    thrice = [[each for each in values for _ in range(3)] for values in (steps, epochs)]
    assert done.stdout.splitlines()[-1] == ",".join(map(str, [*thrice[0], *latents, *thrice[1]]))
