// ⑤ What may enter the image of a machine, whatever its package database lists; and the small /etc that is written for it. Pure.

/** Below these, and nowhere else, files are taken from the machine. */
const roots = /^\/(usr|bin|sbin|lib|lib32|lib64|libx32)(\/|$)/;

const refused = new RegExp(
  [
    "^/usr/share/(doc|man|info|locale|lintian|bug|doc-base|menu|applications|icons|pixmaps|bash-completion|zsh|fish|help|gtk-doc|dbus-1|polkit-1)(/|$)",
    "^/usr/(include|src|games|local)(/|$)",
    "^/usr/lib/(systemd|udev|modules|tmpfiles\\.d|sysusers\\.d|init|dpkg|apt|sysctl\\.d|modprobe\\.d|environment\\.d)(/|$)",
    "^/usr/lib/python3[^/]*/(test|idlelib|turtledemo)/",
    "\\.(a|la|orig|dpkg-[a-z]+)$",
  ].join("|"),
);

/** From /etc only what programs need to find libraries, certificates and names; nothing that tells of this machine. */
const etc = new RegExp(
  "^/etc/(alternatives/.*|ssl/certs/.*|ssl/openssl\\.cnf|ca-certificates\\.conf|ld\\.so\\.(cache|conf|conf\\.d/.*)|python3[^/]*/.*" +
    "|os-release|protocols|services|rpc|ethertypes|debian_version|mime\\.types|terminfo/.*|pki/tls/certs/.*|pki/ca-trust/extracted/.*)$",
);

/** Certificates that an administrator added: /etc/ssl/certs links to them. */
const localCertificates = /^\/usr\/local\/share\/ca-certificates\/.*\.crt$/;

/** In the folders of certificates a key may lie beside its certificate. */
const certificateFolders = /^\/etc\/(ssl\/certs|pki)\//;
const certificate = /\.(crt|cer|pem|\d+)$/;
const key = /key|priv/i;

/** Whether a path, with the links of its folders resolved, may enter the image. */
export function mayEnter(path: string): boolean {
  if (certificateFolders.test(path) && (!certificate.test(path) || key.test(path))) return false;
  if (path.startsWith("/etc/")) return etc.test(path) && !path.includes("/private/");
  if (localCertificates.test(path)) return true;
  return roots.test(path) && !refused.test(path);
}

/** Folders of which everything enters that may: their files belong to no package. */
export const wholeTrees: readonly string[] = ["/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted"];
/** Files that belong to no package. */
export const extraPaths: readonly string[] = ["/etc/ld.so.cache", "/etc/ld.so.conf", "/usr/bin/env", "/bin/sh"];

/** Mount points and folders that programs expect, with their modes. */
export const folders: Readonly<Record<string, number>> = {
  dev: 0o755,
  etc: 0o755,
  hob: 0o755,
  home: 0o755,
  proc: 0o755,
  project: 0o755,
  root: 0o700,
  run: 0o755,
  sys: 0o755,
  tmp: 0o1777,
  "usr/local/bin": 0o755,
  "var/tmp": 0o1777,
};

export const writtenFiles: Readonly<Record<string, string>> = {
  "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
  "etc/group": "root:x:0:\nnogroup:x:65534:\n",
  "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
  "etc/hostname": "hob\n",
  "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n",
  "etc/resolv.conf": "",
};

/** Links that are written, where the machine has none of its own that is wanted. */
export const writtenLinks: Readonly<Record<string, string>> = { "etc/mtab": "../proc/self/mounts", "var/run": "/run" };
