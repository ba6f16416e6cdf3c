# sgdtheory on the CPU: docker build -t sgdtheory . && docker run --rm -v "$PWD:/work" sgdtheory train
# Written without a Docker engine at hand; the same steps are what a test does in a fresh environment.
FROM python:3.11-slim
COPY . /src
RUN pip install --no-cache-dir /src && rm -rf /src
ENV OMP_WAIT_POLICY=PASSIVE MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /work
USER 1000
ENTRYPOINT ["sgdtheory"]
CMD ["--help"]
