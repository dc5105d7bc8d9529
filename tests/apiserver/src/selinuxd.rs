//! A node that says it has SELinux, and a selinuxd that compiles nothing: it answers as upstream's
//! does, after a while, and keeps what it has said until the file changes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// The directory of modules, on the node.
pub const DROP_DIR: &str = "etc/selinux.d";

/// Where the socket is, below the root of the node.
const SOCKET: &str = "selinuxd.sock";

/// How long a policy takes.
const COMPILES: Duration = Duration::from_millis(700);

/// A module with this word in it fails.
pub const FAILS: &str = "no_such_t";

/// Makes a folder look like a node with SELinux to a daemon.
pub fn prepare(root: &Path) {
    let write = |file: &str, text: &str| {
        let file = root.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    write("proc/filesystems", "nodev\tselinuxfs\n");
    write("proc/self/attr/current", "system_u:system_r:kernel_t:s0\0");
    std::fs::create_dir_all(root.join(DROP_DIR)).unwrap();
}

/// What a daemon is told to talk to it.
pub fn arguments(root: &Path) -> Vec<String> {
    vec![
        "--with-selinux=true".to_owned(),
        format!("--selinuxd-socket={}", root.join(SOCKET).display()),
    ]
}

/// A selinuxd, which ends when it is dropped.
pub struct Selinuxd {
    state: Arc<Mutex<State>>,
    socket: PathBuf,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Default)]
struct State {
    /// What was seen in the files, and when.
    seen: BTreeMap<String, (String, Instant)>,
    /// What is said of modules: that they are installed, or why not.
    said: BTreeMap<String, Result<(), String>>,
    questions: usize,
}

impl Selinuxd {
    /// Starts one on the node whose files are in `root`.
    pub fn start(root: &Path) -> Self {
        let socket = root.join(SOCKET);
        let _absent: io::Result<()> = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let works = tokio::spawn(work(Arc::clone(&state), root.join(DROP_DIR)));
        let answers = tokio::spawn(answer_all(Arc::clone(&state), listener));
        Self {
            state,
            socket,
            tasks: [works, answers],
        }
    }

    /// The modules that are installed.
    pub fn installed(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let said = state.said.iter().filter(|(_, said)| said.is_ok());
        said.map(|(name, _)| name.clone()).collect()
    }

    /// How often it was asked anything.
    pub fn questions(&self) -> usize {
        self.state.lock().unwrap().questions
    }
}

impl Drop for Selinuxd {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        let _absent: io::Result<()> = std::fs::remove_file(&self.socket);
    }
}

/// Takes files in, and has its say about each a while later.
async fn work(state: Arc<Mutex<State>>, dir: PathBuf) {
    loop {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "cil")
                && let Ok(text) = std::fs::read_to_string(&path)
            {
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                files.insert(name, text);
            }
        }
        {
            let mut state = state.lock().unwrap();
            let State { seen, said, .. } = &mut *state;
            seen.retain(|name, _| files.contains_key(name));
            said.retain(|name, _| files.contains_key(name));
            for (name, text) in files {
                let (known, since) = seen
                    .entry(name.clone())
                    .or_insert_with(|| (String::new(), Instant::now()));
                if *known != text {
                    (*known, *since) = (text.clone(), Instant::now());
                }
                if since.elapsed() >= COMPILES {
                    let fails = text.contains(FAILS);
                    let path = format!("cannot install module: /etc/selinux.d/{name}.cil");
                    said.insert(name, if fails { Err(path) } else { Ok(()) });
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn answer_all(state: Arc<Mutex<State>>, listener: UnixListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            // A client that goes is its own business.
            let _gone: io::Result<()> = answer(&state, stream).await;
        });
    }
}

async fn answer(state: &Mutex<State>, mut stream: UnixStream) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (code, body) = {
        let mut state = state.lock().unwrap();
        state.questions += 1;
        said(&state, path)
    };
    let length = body.len() + 1;
    let head =
        format!("HTTP/1.1 {code} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(format!("{head}{body}\n").as_bytes()).await
}

fn said(state: &State, path: &str) -> (u16, String) {
    match path {
        "/ready" => (200, "{\"ready\":true}".to_owned()),
        "/policies/" => {
            let names: Vec<&String> = state.said.keys().collect();
            (200, serde_json::to_string(&names).unwrap())
        }
        _ => match path
            .strip_prefix("/policies/")
            .and_then(|name| state.said.get(name))
        {
            Some(Ok(())) => (200, "{\"status\":\"Installed\",\"msg\":\"\"}".to_owned()),
            Some(Err(why)) => {
                let body = serde_json::json!({ "status": "Failed", "msg": why });
                (200, body.to_string())
            }
            None => (404, "couldn't find requested policy".to_owned()),
        },
    }
}
