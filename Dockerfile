# A static binary, with the time zones built in, in an image that holds nothing else but CA certificates.
# Build with: docker build --build-arg VERSION=$(git describe --tags --always) -t binlogstreamer .

FROM golang:1.26-bookworm AS build
ARG VERSION=unknown
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -tags timetzdata -ldflags "-s -w -X main.version=${VERSION}" \
      -o /out/binlogstreamer ./cmd/binlogstreamer \
 && mkdir -p /out/state /out/tmp && chmod 1777 /out/tmp

FROM scratch
LABEL org.opencontainers.image.title="binlogstreamer" \
      org.opencontainers.image.description="Replicates MySQL to Kinesis and delivers it to S3" \
      org.opencontainers.image.licenses="Apache-2.0"
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
