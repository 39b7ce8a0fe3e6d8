# One image for all three programs. `make image` makes the same without a
# container tool; internal/archtest checks that the two agree.
#
# The tools of the build; nothing of them is in the image. GOLANG can name them by digest.
ARG GOLANG=golang:1.26
FROM --platform=$BUILDPLATFORM $GOLANG AS build
ARG TARGETOS=linux
ARG TARGETARCH
ARG VERSION=v0.1.0
WORKDIR /src

# Modules first: they change less often than the source.
COPY go.mod go.sum ./
RUN go mod download

COPY . .
ENV CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false"
# Compiled on the builder's own platform for the target's: no emulation.
RUN mkdir /out && for program in operator controller speaker; do \
      GOOS=$TARGETOS GOARCH=$TARGETARCH go build \
        -ldflags "-s -w -X github.com/lbstack/lbstack/internal/version.Version=$VERSION" \
        -o /out/$program ./cmd/$program || exit 1; \
    done

# No base image: the programs need nothing beside them.
FROM scratch
ARG VERSION=v0.1.0
LABEL org.opencontainers.image.title="lbstack" \
      org.opencontainers.image.description="Load balancers for Kubernetes on bare metal, from one object" \
      org.opencontainers.image.source="https://github.com/lbstack/lbstack" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="lbstack" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /out/operator /operator
COPY --from=build /out/controller /controller
COPY --from=build /out/speaker /speaker
COPY LICENSE /licenses/LICENSE
USER 65532:65532
ENTRYPOINT ["/operator"]
