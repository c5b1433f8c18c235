# One image for all processes; docker-compose.yml sets the process that each container runs.
FROM python:3.11-slim
WORKDIR /opt/polar
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY polar_latents.py ./
COPY polar polar
COPY service service
COPY workers workers
COPY migrations migrations
RUN pip install --no-cache-dir -c constraints.txt .
RUN useradd --create-home --uid 10001 polar && install -d -o polar /artifacts /data /home/polar/.cache
USER 10001
WORKDIR /home/polar
