# Two stages: the second holds one static binary and its licence, and no shell.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
COPY . .
# glibc, linked in: it keeps its allocator, resolves names by /etc/hosts and DNS without any
# other file, and needs nothing that this image lacks. docs/architecture.md has the reasons.
# --target keeps the flag away from procedural macros, which cannot be static.
RUN host="$(rustc --print host-tuple)" \
    && RUSTFLAGS='-C target-feature=+crt-static' \
       cargo build --release --locked --bin codescan-oauth-proxy --target "$host" \
    && cp "target/$host/release/codescan-oauth-proxy" /codescan-oauth-proxy

FROM scratch
LABEL org.opencontainers.image.title="codescan-oauth-proxy" \
      org.opencontainers.image.description="Signs people in to CodeScan through Bitbucket Data Center" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /codescan-oauth-proxy /codescan-oauth-proxy
COPY LICENSE /LICENSE
# Numbers, as Kubernetes' runAsNonRoot cannot check names.
USER 65532:65532
# Application; health and metrics.
EXPOSE 8080 8081
# It reads the same settings as the program: those of the file that CODESCAN_PROXY_CONFIG names
# and of other variables, but not flags.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s \
    CMD ["/codescan-oauth-proxy", "healthcheck"]
ENTRYPOINT ["/codescan-oauth-proxy"]
