"""② What in a program makes it unknowable what it reaches: never stale comes before narrow, so the digest widens. Tables only."""

# Reading these names as values, or calling them with something that is not a constant, makes reach unknowable.
WHOLE_MODULE = {"globals", "locals", "vars", "dir", "getattr", "setattr", "delattr"}
WHOLE_PROJECT = {"eval", "exec", "compile", "__import__"}
ANY_FILE_NAMES = {"open", "__file__", "__path__", "__spec__", "__loader__"}
PROJECT_ATTRIBUTES = {"__subclasses__", "__globals__", "import_module", "getmembers", "iter_modules", "walk_packages", "getsource"}
# Methods and functions that read files, whatever they belong to.
READERS = {
    "open", "read_text", "read_bytes", "iterdir", "glob", "iglob", "rglob", "listdir", "scandir", "read_csv", "read_json",
    "read_parquet", "read_excel", "read_table", "read_pickle", "read_feather", "loadtxt", "genfromtxt", "fromfile", "memmap", "imread",
    "load_model", "from_pretrained", "ZipFile", "copytree", "copyfile", "sendfile", "get_data",
}
# Of a path they open the path itself; of these modules, their first argument.
OPENERS = {"open", "read_text", "read_bytes"}
OPENER_ROOTS = {"io", "os", "codecs", "gzip", "bz2", "lzma", "tarfile", "zipfile", "Image"}
READER_ROOTS = {("os", "walk"), ("np", "load"), ("numpy", "load"), ("torch", "load"), ("joblib", "load"), ("sqlite3", "connect")}
# What names from outside stand for, whatever they are called here: (module, name) or (module,) → what then is not known. "files" are
# the project's data files; "programs" all of its files: what is started may run or read its sources.
OUTSIDE = {
    ("sys", "modules"): "project", ("sys", "path"): "project", ("site",): "project", ("importlib",): "project", ("pkgutil",): "project", ("inspect", "getmembers"): "project",
    ("gc", "get_objects"): "project", ("builtins", "eval"): "project", ("builtins", "exec"): "project", ("builtins", "__import__"): "project",
    ("subprocess",): "programs", ("runpy",): "programs", ("pkg_resources",): "files", ("shutil",): "files", ("builtins", "open"): "files",
    ("io", "open"): "files", ("os", "walk"): "files", ("os", "system"): "programs", ("os", "popen"): "programs", ("os", "open"): "files",
    ("os", "listdir"): "files", ("os", "scandir"): "files", ("glob",): "files", ("sqlite3", "connect"): "files", ("fileinput",): "files",
    ("linecache",): "programs", ("mmap",): "files", ("zipfile",): "files", ("tarfile",): "files", ("ctypes",): "files",
    ("configparser",): "files", ("xml",): "files", ("gzip",): "files", ("bz2",): "files", ("lzma",): "files", ("os", "stat"): "files",
    ("jinja2",): "files",
}
