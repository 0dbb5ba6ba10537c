# Ouzel as an image: `docker build -t ouzel .` No step needs more than Node.js, npm and this checkout, and
# test/integration/container.test.ts carries the steps out without Docker.

FROM node:24-bookworm-slim AS build
# An empty directory, to be copied with its owner: the final stage has no command to run.
WORKDIR /state
WORKDIR /build
COPY package.json package-lock.json ./
# Only what runs: no tests, no linters, and the Node.js of the image in place of the one that npm would bring.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund
COPY src ./src

FROM node:24-bookworm-slim
WORKDIR /ouzel
COPY --from=build /build /ouzel
# What must outlive the container: SQLite databases, files that targets write. All else is read only.
COPY --from=build --chown=1000:1000 /state /var/lib/ouzel
# A number, so that `runAsNonRoot` can be checked without a look into the image.
USER 1000:1000
# OUZEL_HTTP: what the configuration has for http.listen, as `${OUZEL_HTTP:-127.0.0.1:9464}`; the health check asks there.
ENV NODE_ENV=production STATE_DIRECTORY=/var/lib/ouzel OUZEL_HTTP=0.0.0.0:9464
VOLUME /var/lib/ouzel
EXPOSE 9464 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.OUZEL_HTTP.split(':').at(-1)}/healthz`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "src/main.ts"]
CMD ["run", "--config", "/etc/ouzel/ouzel.yaml"]
