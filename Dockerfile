# syntax=docker/dockerfile:1
# A static binary, with the time zones built in, in an image that holds nothing else but CA certificates: no shell, no
# package manager, no other user than its own.
#   docker build --build-arg VERSION=$(git describe --tags --always) --build-arg REVISION=$(git rev-parse HEAD) -t binlogstreamer .
#
# The toolchain is named by a tag with its minor version, so that a build takes the newest fixes of it, and only the toolchain
# is taken from elsewhere: what comes out of it is FROM scratch. Whoever needs builds that repeat byte for byte names it by
# digest, as a release should:
#   --build-arg GO_IMAGE=golang:1.26-bookworm@sha256:…      (docker buildx imagetools inspect golang:1.26-bookworm)
ARG GO_IMAGE=golang:1.26-bookworm

FROM ${GO_IMAGE} AS build
ARG VERSION=unknown
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -tags timetzdata -ldflags "-s -w -X main.version=${VERSION}" \
      -o /out/binlogstreamer ./cmd/binlogstreamer \
 && mkdir -p /out/state /out/tmp && chmod 1777 /out/tmp

FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
# https://github.com/opencontainers/image-spec/blob/main/annotations.md
LABEL org.opencontainers.image.title="binlogstreamer" \
      org.opencontainers.image.description="Replicates MySQL to Kinesis and delivers it to S3" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/binlogstreamer/binlogstreamer" \
      org.opencontainers.image.documentation="https://github.com/binlogstreamer/binlogstreamer/blob/main/docs/DEPLOYMENT.md" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/binlogstreamer /binlogstreamer
COPY --from=build --chown=65532:65532 /out/state /var/lib/binlogstreamer
COPY --from=build /out/tmp /tmp
USER 65532:65532
VOLUME /var/lib/binlogstreamer
# Reachable from outside once http.listen is set to an address of the container, such as 0.0.0.0:9187.
EXPOSE 9187
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
  CMD ["/binlogstreamer", "healthcheck", "-c", "/etc/binlogstreamer/pipeline.yaml"]
ENTRYPOINT ["/binlogstreamer"]
CMD ["run", "-c", "/etc/binlogstreamer/pipeline.yaml"]
