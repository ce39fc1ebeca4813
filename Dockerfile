# The final image holds the program's static binaries and nothing else: no shell, no package manager, no
# libc. Base images are pinned by tag.

# build makes the binaries.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN mkdir -p /out/bin /out/state/tweetqueue && chmod 0700 /out/state/tweetqueue
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w" -o /out/bin/ ./cmd/worker ./cmd/enqueue

FROM scratch
# X is reached by HTTPS, so its certificate must be checkable; time zones are in the binaries.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/bin/ /usr/local/bin/
# A named volume takes its owner from the directory that it is mounted over, so the encryption key's
# directory must exist here and belong to the user below.
COPY --from=build --chown=65532:65532 /out/state/ /var/lib/
ENV PATH=/usr/local/bin
USER 65532:65532
ENTRYPOINT ["worker"]
