/** The frame around each page. */

import { Footer } from "./components/footer";
import { Header } from "./components/header";
import { lazy } from "./components/lazy";
import { Toast } from "./components/toast";
import { WaitBanner } from "./components/wait-banner";
import { PAGES } from "./pages";
import { route } from "./router";

const HopsPanel = lazy(() => import("./hops"), "");

export function App() {
  const { page, id } = route.value;
  const Page = PAGES[page];
  return (
    <>
      <a class="skip-link" href="#main" onClick={focusMain}>
        Skip to content
      </a>
      <Header />
      <WaitBanner />
      <main id="main" tabIndex={-1}>
        <Page key={`${page}/${id}`} />
      </main>
      <HopsPanel />
      <Footer />
      <Toast />
    </>
  );
}

/** Move the focus without following the link, because the part after `#` is the route. */
function focusMain(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}
