#!/usr/bin/env bash
# Installs what a checkout needs: Debian packages (as root), .venv with the locked packages, the project itself, and the
# pages that the API serves to browsers. With --tests also a browser to test these in.
# Running it again is quick; TELESTREAM_PYTHON names another Python.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

say() { printf 'bootstrap: %s\n' "$*"; }
fail() { printf 'bootstrap: %s\n' "$@" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

python=${TELESTREAM_PYTHON:-python3}
case "${1-}" in
    "") tests=false ;;
    --tests) tests=true ;;
    *) fail "unknown option: $1" "  ./bootstrap.sh [--tests]" ;;
esac

attempt() { # attempt TEXT COMMAND...: run it, and print the text with the seconds it took, or why it failed
    local text=$1 began=$SECONDS output
    shift
    if ! output=$("$@" 2>&1 </dev/null); then
        printf '%s\n' "$output" >&2
        return 1
    fi
    say "$text ($((SECONDS - began)) s)"
}

step() { # the same, and the end where it fails
    attempt "$@" || fail "failed: $1"
}

missing_packages() {
    has "$python" || echo python3
    { has "$python" && "$python" -c 'import ensurepip, venv' 2>/dev/null; } || echo python3-venv
    has mmdebstrap || echo mmdebstrap
    has bwrap || echo bubblewrap
    has setpriv || echo util-linux
    [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    compgen -G '/usr/share/keyrings/debian-archive-trixie-stable.*' >/dev/null ||
        compgen -G '/usr/share/keyrings/debian-archive-keyring.pgp' >/dev/null || echo debian-archive-keyring
}

install_packages() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq install --yes --no-install-recommends "$@"
}

mapfile -t packages < <(missing_packages)
if [ ${#packages[@]} -gt 0 ]; then
    if ! has apt-get; then
        has "$python" || fail "Python 3.11 or newer is needed"
        say "no apt-get here: the embedded stack will not run (needs mmdebstrap and bubblewrap), the rest will"
    elif [ "$(id -u)" -eq 0 ]; then
        step "Debian packages: ${packages[*]}" install_packages "${packages[@]}"
    else
        fail "these Debian packages are missing; install them, then run this again:" \
            "  sudo apt-get update && sudo apt-get install --no-install-recommends ${packages[*]}"
    fi
fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed"

if "$tests" && ! has chromium; then
    if has apt-get && [ "$(id -u)" -eq 0 ] && attempt "Debian package: chromium" install_packages chromium; then
        :
    else
        say "no chromium: tests that need a browser are skipped (sudo apt-get install chromium)"
    fi
fi

# Two programs of packages that would start servers here: unpacked, not installed.
prometheus=${TELESTREAM_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/telestream}/prometheus
fetch_promtool() (
    set -e
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    cd "$folder"
    [ "$(id -u)" -ne 0 ] || { chown _apt . 2>/dev/null || true; apt-get -qq update; }
    apt-get -qq download prometheus prometheus-alertmanager
    for package in *.deb; do dpkg-deb --extract "$package" root; done
    mkdir -p "$prometheus"
    mv root/usr/bin/promtool root/usr/bin/amtool "$prometheus"
)
if "$tests" && ! { has promtool && has amtool; } && [ ! -x "$prometheus/amtool" ]; then
    { has apt-get && attempt "promtool and amtool" fetch_promtool; } ||
        say "no promtool and amtool: tests of the alert rules are skipped (sudo apt-get install prometheus prometheus-alertmanager)"
fi

is_current() { # is_current STAMP KEY: whether the step was done for this key
    [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]
}

# The folder belongs to the key because scripts in .venv name it.
key=$({ pwd; "$python" -VV; cat requirements.lock pyproject.toml; } | sha256sum | cut -d' ' -f1)
stamp=.venv/.bootstrapped
pip=(.venv/bin/python -m pip --quiet --disable-pip-version-check --no-input install)
fresh=false
if ! is_current "$stamp" "$key"; then
    fresh=true
    rm -f "$stamp"
    if [ ! -x .venv/bin/python ] || [ "$(.venv/bin/python -VV 2>&1)" != "$("$python" -VV)" ] ||
        ! grep -qF "$PWD/.venv" .venv/bin/pip; then
        step "virtual environment" "$python" -m venv --clear .venv
    fi
    step "locked Python packages" "${pip[@]}" --require-hashes --only-binary :all: -r requirements.lock
    step "the project" "${pip[@]}" --no-deps --no-build-isolation --editable .
    echo "$key" >"$stamp"
fi

build_pages() ( # with the Node.js of the wheel, so that the machine needs none
    PATH=$PWD/.venv/bin:$PATH
    cd graphql/web && kept=$(ls -d node_modules 2>/dev/null || true)
    npm ci --ignore-scripts --no-audit --no-fund --fetch-retries 1 && node build.mjs &&
        { [ -n "$kept" ] || rm -rf node_modules; } # 220 MB that nothing else reads, unless somebody put them there
)

web_key=$(cd graphql/web && find build.mjs package.json package-lock.json src -type f -print0 | LC_ALL=C sort -z |
    xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
web_stamp=graphql/web/dist/.built
if ! is_current "$web_stamp" "$web_key"; then
    if attempt "pages of the API" build_pages; then
        echo "$web_key" >"$web_stamp"
    else
        say "the pages of the API are not built, it works without them; ./bootstrap.sh tries again"
    fi
fi
! "$fresh" || say "ready; next: make demo"
