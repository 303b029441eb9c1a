/** Once, as soon as somebody scrolls to within `margin` ("300px") of the element. */
export function whenNear(element, margin, act) {
  const observer = new IntersectionObserver(
    (seen) => {
      if (!seen.some((one) => one.isIntersecting)) return;
      observer.disconnect();
      act();
    },
    { rootMargin: margin },
  );
  observer.observe(element);
}
