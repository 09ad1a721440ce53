# Sets up what is missing, quickly when nothing is: packages of package-lock.json (one of them brings Node 24), the system's runc and its kin, the
# bundle in dist/. Sourced by bin/hob and the scripts beside this one; sets $root and $node. HOB_NO_SETUP=1 skips all of it.
say() { printf 'hob: %s\n' "$*" >&2; }
die() { say "$*"; exit 3; }

node="$root/node_modules/node/bin/node"

install_packages() {
  command -v npm >/dev/null 2>&1 || die "npm is not installed: install Node 20 or newer with npm, then try again"
  say "installing packages (the first time only)"
  # Not `npm ci`: it refuses a lock file in which another platform's optional package is missing, as a registry mirror may cause.
  (cd "$root" && npm install --no-save --no-audit --no-fund --loglevel=error >&2) || die "npm install failed: its message is above"
  [ -x "$node" ] || die "the npm package \`node\` brought no binary: run \`npm install\` in $root and read its message"
  cp "$root/package-lock.json" "$root/node_modules/.hob-lock"
}

# The agent needs runc, unshare (util-linux), nft (containers with a network) and mmdebstrap (Image.debian, where the distribution has it); a client of a
# pool elsewhere needs none of them, so what cannot be installed is said, not fatal.
install_system() {
  if [ "$(id -u)" = 0 ]; then elevate=; elif sudo -n true 2>/dev/null; then elevate=sudo; else elevate=none; fi
  if command -v apt-get >/dev/null 2>&1; then command="apt-get install -y --no-install-recommends runc util-linux python3 nftables mmdebstrap"
  elif command -v dnf >/dev/null 2>&1; then command="dnf install -y runc util-linux python3 nftables"
  elif command -v pacman >/dev/null 2>&1; then command="pacman -S --noconfirm runc util-linux python nftables"
  elif command -v apk >/dev/null 2>&1; then command="apk add runc util-linux python3 nftables"
  else say "runc is missing, and this system's package manager is unknown: install runc, then try again"; return 0; fi
  if [ "$elevate" = none ]; then say "runc is missing and needs root to install: type \`sudo $command\`"; return 0; fi
  say "installing what containers need from the distribution's packages"
  # A lock that another package manager holds for a moment is waited for.
  case $command in apt-get*) $elevate apt-get update -qq >/dev/null 2>&1 || true; command="apt-get -o DPkg::Lock::Timeout=120 ${command#apt-get}" ;; esac
  DEBIAN_FRONTEND=noninteractive $elevate $command >&2 2>&1 >/dev/null || say "could not install it: type \`sudo $command\` and read its message"
}

# nft and the like lie in /usr/sbin, which is not on everybody's PATH.
has() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }

# What a second look would not mend is tried once for each version of this file.
lacks_system() {
  has runc || return 0
  [ "$(id -u)" = 0 ] || return 1
  has nft || return 0
  ! has mmdebstrap && has apt-get && ! cmp -s "$root/scripts/setup.sh" "$root/node_modules/.hob-system"
}

build() {
  "$node" "$root/scripts/build.ts" >&2 || die "the bundle could not be built: the message is above"
}

if [ -z "${HOB_NO_SETUP:-}" ]; then
  cmp -s "$root/package-lock.json" "$root/node_modules/.hob-lock" || install_packages
  if lacks_system; then
    install_system
    cp "$root/scripts/setup.sh" "$root/node_modules/.hob-system"
  fi
  if [ ! -f "$root/dist/build-id" ] || [ -n "$(cd "$root" && find base proto project tui cli control agent fusefs scripts/build.ts package.json -newer dist/build-id -not -name '*.pyc' -print -quit)" ]; then build; fi
fi
